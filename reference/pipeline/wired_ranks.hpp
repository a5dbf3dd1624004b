// Ranks that are processes on a wire: what rank 0 orders, and what the others make of it.
#pragma once
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <stepvideo/comm/group_wire.hpp>
#include <stepvideo/comm/heartbeat.hpp>
#include <stepvideo/comm/process_communicator.hpp>

#include "exit_code.hpp"
#include "io/pending_file.hpp"
#include "io/pixel_format.hpp"
#include "last_words.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/process_watch.hpp"
#include "pipeline/rank_work.hpp"
#include "pipeline/replica_dealer.hpp"

namespace stepvideo::pipeline {

/// What rank 0 asks for.
struct Order {
  enum Kind : int { load_transformer, denoise, load_decoder, decode, deal, encode, end } kind = end;
  SamplerSettings settings = {};
  int steps_done = 0;
  LatentShape shape = {};
  int channels = 0;
  int decoders = 0;
  Groups groups = {};
  io::PixelFormat format = {};
  index_t prompts = 0, llm_tokens = 0, llm_width = 0, clip_tokens = 0, clip_width = 0;

  /// With room for their values.
  Latents latents() const { return {shape, channels, Buffer<float>(shape.tokens() * channels)}; }
};

/// How long the others may take for what they write down before this process ends without a rank.
inline constexpr auto longest_end = std::chrono::seconds(3);

inline void begin_the_end(Heartbeat* heartbeat, const std::string& why, bool says) {
  const std::string sentence = LastWords::speak_all(why);
  if (says) say_failure(sentence);
  if (heartbeat != nullptr) heartbeat->leave();
}
[[noreturn]] inline void end_now(RankWire& wire) {
  io::drop_pending();
  wire.abort();
  std::abort();  // none of them returns
}

class WiredRanks final : public ProcessRanks {
 public:
  /// `meanwhile`, where there is one, is called while this rank waits for others; `heartbeat`, where there is
  /// one, is of these ranks. Both outlive this.
  explicit WiredRanks(ProcessCommunicator& communicator, const std::function<void()>& meanwhile = {},
                      Heartbeat* heartbeat = nullptr)
      : communicator_(communicator),
        heartbeat_(heartbeat),
        watch_(communicator.messages().wire(), recorder_) {
    communicator.messages().set_while_waiting([this, meanwhile](std::span<const int> others) {
      if (meanwhile) meanwhile();
      // Here, where others may still read this rank's memory.
      if (const auto loss = heartbeat_ ? heartbeat_->loss() : std::nullopt; loss && loss->is_stopped)
        end_without(*loss);
      try {
        watch_.look(others);
      } catch (const RankLate& late) {
        end_without(late);
      }
    });
  }

  int rank() const override { return communicator_.rank(); }
  int ranks() const override { return communicator_.ranks(); }
  void require_same_facts(std::span<const SharedFact> facts) override {
    stepvideo::require_same_facts(communicator_, host, world(), facts);
  }
  std::unique_ptr<Denoiser::Loaded> load_transformer(const SharedModels::Transformer& transformer,
                                                     const Ranks& ranks, Progress& progress) override;
  std::shared_ptr<VaeDecoderModel> load_decoder(const LoadVaeDecoder& load, const Ranks& ranks,
                                                Progress& progress) override;
  std::vector<DealtJob> deal(std::span<const std::size_t> jobs, const Groups& groups, const LoadReplica& load,
                             Progress& progress) override;
  void encode(const LoadVaeEncoder& load, VideoView<const float> video, LatentsView<float> mean,
              LatentsView<float> log_variance, const Ranks& ranks, Progress& progress) override;
  void follow(const SharedModels& models, const Ranks& ranks) override;
  void set_longest_silence(double seconds) override {
    if (heartbeat_ != nullptr) heartbeat_->set_longest_silence(Heartbeat::Seconds(seconds));
  }

  /// Rank 0's order, on every rank. Nobody is late who waits for the next.
  Order say(Order order) {
    communicator_.broadcast(host, world(), VectorView<Order>{&order, 1}, 0);
    return order;
  }
  /// Rank 0's values, on every rank.
  template <Movable T>
  void share(const Buffer<T>& values) {
    communicator_.broadcast(host, world(), values.vector(), 0);
  }

  /// This rank's part of a stage; see pipeline::do_part. Where the process ends in the middle of it, the log
  /// says why and `rescue`, where there is one, is called.
  template <class Work>
  void do_part(const std::string& stage, FlightLog& flights, Progress& progress,
               const std::function<void()>& rescue, Work&& work) {
    const LastWords last_words([&](const std::string& why) {
      flights.write(progress, true);
      progress.log({.kind = Event::Kind::error, .stage = stage, .message = why});
      if (rescue) rescue();
      return std::string();
    });
    pipeline::do_part(rank(), flights, progress, work);
  }

  /// While rank 0 does this, nobody waits for it in vain.
  template <class Work>
  void while_away(Work&& work) {
    watch_.tell_away(true);
    const struct BackAtTheEnd {
      ProcessWatch& watch;
      ~BackAtTheEnd() { watch.tell_away(false); }
    } back_at_the_end{watch_};
    work();
  }

  ProcessCommunicator& communicator() { return communicator_; }
  FlightRecorder& recorder() { return recorder_; }

 private:
  /// While it lives, groups of ranks deal with the loss of others.
  class Tolerant {
   public:
    explicit Tolerant(WiredRanks& ranks) : heartbeat_(ranks.heartbeat_) {
      set(ranks.communicator_.messages().wire().outlives_ranks());
    }
    Tolerant(const Tolerant&) = delete;
    Tolerant& operator=(const Tolerant&) = delete;
    ~Tolerant() { set(false); }

   private:
    void set(bool is_tolerant) {
      if (heartbeat_ != nullptr) heartbeat_->set_tolerant(is_tolerant);
    }
    Heartbeat* heartbeat_;
  };

  void follow_orders(const SharedModels& models, const Ranks& ranks, Progress& progress);
  /// The first rank's part of a group, and the others'.
  static void lead_group(GroupWire& group, JobSource& jobs, const LoadReplica& load, Progress& progress);
  static void follow_group(GroupWire& group, const SharedModels& models, const Ranks& ranks,
                           Progress& progress);
  /// The part of a rank other than 0 where jobs are dealt.
  void follow_deal(const Groups& groups, const SharedModels& models, const Ranks& ranks, Progress& progress);

  Group world() const { return {0, 1, ranks()}; }

  /// A rank that does not come, and does not answer: no message will ever end the run, so this process ends
  /// it.
  [[noreturn]] void end_without(const RankLate& late) {
    using namespace std::chrono_literals;
    begin_the_end(heartbeat_, late.what(), late.is_found_here());
    const auto is_over = [&] {
      if (heartbeat_ != nullptr) return heartbeat_->have_others_left(late.rank());
      return rank() == 0 || communicator_.messages().wire().is_gone(0);
    };
    watch_.answer_until(is_over, late.rank() == 0 ? 500ms : longest_end);
    end_now(communicator_.messages().wire());
  }
  /// The same where the heartbeat says so.
  [[noreturn]] void end_without(const Losses::Loss& loss) {
    begin_the_end(heartbeat_, watch_.sentence_of(loss), heartbeat_->is_speaker());
    watch_.answer_until([&] { return heartbeat_->have_others_left(); }, longest_end);
    end_now(communicator_.messages().wire());
  }

  ProcessCommunicator& communicator_;
  Heartbeat* heartbeat_;
  FlightRecorder recorder_{4096};
  ProcessWatch watch_;
};

/// Calls `work(WiredRanks&)`, with process_ranks() being the ranks of these messages.
template <class Work>
void with_ranks(ProcessMessages& messages, const std::function<void()>& meanwhile, Heartbeat* heartbeat,
                Work&& work) {
  run_on_processes(messages, [&](ProcessCommunicator& communicator) {
    WiredRanks ranks(communicator, meanwhile, heartbeat);
    const struct TheRanks {
      ProcessMessages& messages;
      ProcessRanks* before;
      ~TheRanks() {
        set_process_ranks(before);
        messages.set_while_waiting({});
      }
    } the_ranks{messages, set_process_ranks(&ranks)};
    work(ranks);
  });
}

}  // namespace stepvideo::pipeline
