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
#include <stepvideo/comm/process_communicator.hpp>

#include "exit_code.hpp"
#include "io/pending_file.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/process_watch.hpp"
#include "pipeline/rank_work.hpp"
#include "pipeline/replica_dealer.hpp"

namespace stepvideo::pipeline {

/// What rank 0 asks for.
struct Order {
  enum Kind : int { load_transformer, denoise, load_decoder, decode, deal, end } kind = end;
  SamplerSettings settings = {};
  int steps_done = 0;
  LatentShape shape = {};
  int channels = 0;
  int decoders = 0, replicas = 1;
  index_t prompts = 0, llm_tokens = 0, llm_width = 0, clip_tokens = 0, clip_width = 0;

  /// With room for their values.
  Latents latents() const { return {shape, channels, Buffer<float>(shape.tokens() * channels)}; }
};

class WiredRanks final : public ProcessRanks {
 public:
  /// `meanwhile`, where there is one, is called while this rank waits for others.
  explicit WiredRanks(ProcessCommunicator& communicator, const std::function<void()>& meanwhile = {})
      : communicator_(communicator), watch_(communicator.messages().wire(), recorder_) {
    communicator.messages().set_while_waiting([this, meanwhile](std::span<const int> others) {
      if (meanwhile) meanwhile();
      try {
        watch_.look(others);
      } catch (const RankLate& late) {
        end_without(late);  // here, where others may still read this rank's memory
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
  std::vector<std::exception_ptr> deal(std::span<const std::size_t> jobs, int replicas,
                                       const LoadReplica& load, Progress& progress) override;
  void follow(const SharedModels& models, const Ranks& ranks) override;

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
    last_words_ = [&](const RankLate& late) {
      flights.write(progress, true);
      progress.log({.kind = Event::Kind::error, .stage = stage, .message = late.what()});
      if (rescue) rescue();
    };
    const struct ForgetAtTheEnd {
      std::function<void(const RankLate&)>& last_words;
      ~ForgetAtTheEnd() { last_words = {}; }
    } forget_at_the_end{last_words_};
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
  void follow_orders(const SharedModels& models, const Ranks& ranks, Progress& progress);
  /// The first rank's part of a group, and the others'.
  static void lead_group(GroupWire& group, JobSource& jobs, const LoadReplica& load, Progress& progress);
  static void follow_group(GroupWire& group, const SharedModels& models, const Ranks& ranks,
                           Progress& progress);

  Group world() const { return {0, 1, ranks()}; }

  /// A rank that does not come, and does not answer: no message will ever end the run, so this process ends
  /// it. Rank 0 writes its last step; the others leave it the time to.
  [[noreturn]] void end_without(const RankLate& late) {
    using namespace std::chrono_literals;
    if (late.is_found_here()) say_failure(late.what());
    if (last_words_) last_words_(late);
    if (rank() != 0) watch_.answer_while_there_is(0, late.rank() == 0 ? 500ms : 3s);
    io::drop_pending();
    communicator_.messages().wire().abort();
    std::abort();  // none of them returns
  }

  ProcessCommunicator& communicator_;
  FlightRecorder recorder_{4096};
  ProcessWatch watch_;
  std::function<void(const RankLate&)> last_words_;
};

/// Calls `work(WiredRanks&)`, with process_ranks() being the ranks of these messages.
template <class Work>
void with_ranks(ProcessMessages& messages, const std::function<void()>& meanwhile, Work&& work) {
  run_on_processes(messages, [&](ProcessCommunicator& communicator) {
    WiredRanks ranks(communicator, meanwhile);
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
