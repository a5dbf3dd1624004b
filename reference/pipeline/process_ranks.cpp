#include "pipeline/process_ranks.hpp"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <omp.h>

#include <stepvideo/comm/process_communicator.hpp>

#include "exit_code.hpp"
#include "launch/environment.hpp"
#include "launch/mpi.hpp"
#include "pipeline/process_watch.hpp"
#include "pipeline/rank_work.hpp"
#include "pipeline/shared_decode.hpp"

namespace stepvideo::pipeline {
namespace {

using RankCommunicator = Recorded<ProcessCommunicator, RankDeadline>;

/// What rank 0 asks for.
struct Order {
  enum Kind : int { load_transformer, denoise, load_decoder, decode, end } kind = end;
  SamplerSettings settings = {};
  int steps_done = 0;
  LatentShape shape = {};
  int channels = 0;
  int decoders = 0;
  index_t prompts = 0, llm_tokens = 0, llm_width = 0, clip_tokens = 0, clip_width = 0;

  /// With room for their values.
  Latents latents() const { return {shape, channels, Buffer<float>(shape.tokens() * channels)}; }
};

class WiredRanks final : public ProcessRanks {
 public:
  explicit WiredRanks(ProcessCommunicator& communicator)
      : communicator_(communicator), watch_(communicator.messages().wire(), recorder_) {
    communicator.messages().set_while_waiting([this](std::span<const int> others) {
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
  Group world() const { return {0, 1, ranks()}; }

  /// A rank that does not come, and does not answer: no message will ever end the run, so this process ends
  /// it. Rank 0 writes its last step; the others leave it the time to.
  [[noreturn]] void end_without(const RankLate& late) {
    using namespace std::chrono_literals;
    if (late.is_found_here()) say_failure(late.what());
    if (last_words_) last_words_(late);
    if (rank() != 0) watch_.answer_while_there_is(0, late.rank() == 0 ? 500ms : 3s);
    communicator_.messages().wire().abort();
    std::abort();  // none of them returns
  }

  ProcessCommunicator& communicator_;
  FlightRecorder recorder_{4096};
  ProcessWatch watch_;
  std::function<void(const RankLate&)> last_words_;
};

WiredRanks* the_ranks = nullptr;

template <Element T>
class TransformerOnProcesses final : public Denoiser::Loaded {
 public:
  TransformerOnProcesses(WiredRanks& all, const SharedModels::Transformer& transformer, const Ranks& ranks,
                         Progress& progress)
      : all_(all),
        recorded_(all.communicator(), all.recorder(), RankDeadline(ranks.deadlines, all.recorder())),
        flights_(all.recorder(), "denoise") {
    name_failures(all.rank(), [&] {
      transformer_ =
          load_part<T>(recorded_, Mesh{ranks.topology}, transformer.config, transformer.weights, progress);
    });
  }

  void forward(const Conditioning& conditioning, LatentsView<const float> latents,
               VectorView<const float> times, LatentsView<float> velocity) override {
    transformer_->forward(conditioning, latents, times, velocity);
  }

  /// On rank 0. The others learn what it is.
  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override {
    const Conditioning& text = run.conditioning;
    all_.say({.kind = Order::denoise,
              .settings = run.settings,
              .steps_done = run.steps_done,
              .shape = run.latents.shape,
              .channels = run.latents.channels,
              .prompts = text.batch,
              .llm_tokens = text.llm_tokens,
              .llm_width = text.llm_width,
              .clip_tokens = text.clip_tokens,
              .clip_width = text.clip_width});
    share(text, run.latents);
    StepObserver away;
    if (observer)
      away = [&](const StepState& state, Stage& stage) { all_.while_away([&] { observer(state, stage); }); };
    do_part(run, progress, away);
  }

  /// On another rank: the part of an order.
  void follow(const Order& order, Progress& progress) {
    Conditioning text;
    text.batch = order.prompts;
    text.llm_tokens = order.llm_tokens, text.llm_width = order.llm_width;
    text.clip_tokens = order.clip_tokens, text.clip_width = order.clip_width;
    text.llm_states = Buffer<float>(text.batch * text.llm_tokens * text.llm_width);
    text.clip_states = Buffer<float>(text.batch * text.clip_tokens * text.clip_width);
    Latents latents = order.latents();
    const auto lengths = share(text, latents);
    text.key_lengths.assign(lengths.begin(), lengths.end());
    do_part({.conditioning = text,
             .settings = order.settings,
             .latents = latents,
             .steps_done = order.steps_done},
            progress, {});
  }

 private:
  void do_part(const Integration& run, Progress& progress, const StepObserver& observer) {
    all_.do_part("denoise", flights_, progress, run.rescue,
                 [&] { denoise_part(*transformer_, run, flights_, progress, observer); });
  }

  /// Rank 0's text and latents fill the others'. Returns the lengths of its prompts.
  Buffer<index_t> share(const Conditioning& text, const Latents& latents) {
    Buffer<index_t> lengths(text.batch);
    std::ranges::copy(text.key_lengths, lengths.begin());
    all_.share(lengths);
    all_.share(text.llm_states);
    all_.share(text.clip_states);
    all_.share(latents.values);
    return lengths;
  }

  WiredRanks& all_;
  RankCommunicator recorded_;
  FlightLog flights_;
  std::unique_ptr<PlacedTransformer<T, Host, RankCommunicator>> transformer_;
};

class DecoderOnProcesses final : public VaeDecoderModel {
 public:
  DecoderOnProcesses(WiredRanks& all, const LoadVaeDecoder& load, int decoders, const Ranks& ranks,
                     Progress& progress)
      : all_(all),
        decoders_(decoders),
        recorded_(all.communicator(), all.recorder(), RankDeadline(ranks.decode_deadlines(), all.recorder())),
        flights_(all.recorder(), "decode"),
        progress_(progress) {
    if (all.rank() < decoders) name_failures(all.rank(), [&] { decoder_ = load(progress); });
  }

  /// On rank 0. The others learn what it is.
  void decode(LatentsView<const float> latents,
              const std::function<void(VideoView<const float>)>& on_frames) override {
    const Order order = all_.say({.kind = Order::decode,
                                  .shape = latents.shape,
                                  .channels = static_cast<int>(latents.channels),
                                  .decoders = decoders_for(latents, decoders_)});
    const Latents own = order.latents();
    std::copy_n(latents.data, latents.size(), own.values.data());
    do_part(own, order.decoders, [&](auto& part) {
      part.lead([&](VideoView<const float> frames) { all_.while_away([&] { on_frames(frames); }); });
    });
  }

  /// On another rank: the part of an order.
  void follow(const Order& order) {
    do_part(order.latents(), order.decoders, [&](auto& part) { part.follow(progress_); });
  }

 private:
  template <class Work>
  void do_part(const Latents& latents, int decoders, Work&& work) {
    all_.share(latents.values);
    if (all_.rank() >= decoders) return;
    all_.do_part("decode", flights_, progress_, {}, [&] {
      SharedDecode part(recorded_, *decoder_, {latents.values.data(), 1, latents.channels, latents.shape},
                        decoders);
      work(part);
    });
  }

  WiredRanks& all_;
  int decoders_;
  RankCommunicator recorded_;
  FlightLog flights_;
  Progress& progress_;
  std::shared_ptr<VaeChunkDecoder> decoder_;
};

std::unique_ptr<Denoiser::Loaded> WiredRanks::load_transformer(const SharedModels::Transformer& transformer,
                                                               const Ranks& ranks, Progress& progress) {
  say({.kind = Order::load_transformer});
  return with_element(transformer.precision, [&]<Element T>() -> std::unique_ptr<Denoiser::Loaded> {
    return std::make_unique<TransformerOnProcesses<T>>(*this, transformer, ranks, progress);
  });
}

std::shared_ptr<VaeDecoderModel> WiredRanks::load_decoder(const LoadVaeDecoder& load, const Ranks& ranks,
                                                          Progress& progress) {
  const Order order = say({.kind = Order::load_decoder, .decoders = ranks.decoders});
  if (order.decoders == 1) return load(progress);
  return std::make_shared<DecoderOnProcesses>(*this, load, order.decoders, ranks, progress);
}

void WiredRanks::follow(const SharedModels& models, const Ranks& ranks) {
  catch_interrupts();
  Progress progress = rank_progress(ranks, rank(), false);
  const Precision precision = models.transformer ? models.transformer->precision : Precision::fp32;
  with_element(precision, [&]<Element T>() {
    std::optional<TransformerOnProcesses<T>> transformer;
    std::optional<DecoderOnProcesses> decoder;
    for (Order order = say({}); order.kind != Order::end; order = say({})) try {
        switch (order.kind) {
          case Order::load_transformer:
            transformer.emplace(*this, *models.transformer, ranks, progress);
            break;
          case Order::denoise:
            transformer->follow(order, progress);
            break;
          case Order::load_decoder:
            transformer.reset();
            decoder.emplace(*this, models.load_decoder, order.decoders, ranks, progress);
            break;
          case Order::decode:
            decoder->follow(order);
            break;
          case Order::end:
            break;
        }
      } catch (const SharedFailure&) {
        // Rank 0 tells it; what is next, too.
      }
  });
}

/// The OpenMP threads of this process, where nobody says how many: its part of the host.
void divide_threads(int processes_here) {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (omp_get_num_procs() < cores) return;  // the launcher has given it its own
  omp_set_num_threads(std::max(1, cores / processes_here));
}

std::unique_ptr<RankWire> wire_of(const launch::Launched& launched) {
  if (!launched.meeting) return launch::mpi_wire(launched.ranks);
  return std::make_unique<SocketWire>(launched.meeting->rank, meet_ranks(*launched.meeting));
}

}  // namespace

ProcessRanks* process_ranks() {
  return the_ranks;
}

void on_processes(const std::function<void()>& command) {
  const launch::Launched launched = launch::launched();
  if (launched.ranks == 1) return command();
  divide_threads(launched.here);
  const std::unique_ptr<RankWire> wire = wire_of(launched);
  const int rank = wire->rank();
  ProcessMessages messages(*wire);
  try {
    run_on_processes(messages, [&](ProcessCommunicator& communicator) {
      WiredRanks ranks(communicator);
      the_ranks = &ranks;
      try {
        command();
        if (rank == 0) ranks.say({});
      } catch (...) {
        the_ranks = nullptr;
        messages.set_while_waiting({});
        throw;
      }
      the_ranks = nullptr;
      messages.set_while_waiting({});
    });
  } catch (const RequestError&) {
    if (rank != 0) throw ExitCode{2};
    throw;
  } catch (const RankLost&) {
    if (rank != messages.first_left()) throw ExitCode{1};
    throw;
  } catch (const Interrupted&) {
    if (rank != 0) throw ExitCode{1};
    throw;
  }
}

}  // namespace stepvideo::pipeline
