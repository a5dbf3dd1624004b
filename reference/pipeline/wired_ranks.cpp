#include "pipeline/wired_ranks.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "interrupt.hpp"
#include "launch/environment.hpp"
#include "pipeline/nccl.hpp"
#include "pipeline/shared_decode.hpp"
#include "pipeline/shared_encode.hpp"

namespace stepvideo::pipeline {
namespace {

using RankCommunicator = Recorded<ProcessCommunicator, RankDeadline>;

class TransformerOnProcesses final : public Denoiser::Loaded {
 public:
  TransformerOnProcesses(WiredRanks& all, const SharedModels::Transformer& transformer, const Ranks& ranks,
                         Progress& progress)
      : all_(all),
        words_(all.communicator()),
        recorded_(all.communicator(), all.recorder(), RankDeadline(ranks.deadlines, all.recorder())),
        flights_(all.recorder(), "denoise") {
    name_failures(all.rank(), [&] {
      if (transformer.place.is_gpu()) {
        const launch::Launched launched = launch::launched();
        open_nccl(ranks.exchange, launched.here == launched.ranks);
      }
      transformer_ = load_part(recorded_, transformer.place,
                               {.words = words_,
                                .recorder = all.recorder(),
                                .deadlines = ranks.deadlines,
                                .exchange = ranks.exchange},
                               Mesh{ranks.topology}, transformer.config, transformer.weights,
                               transformer.numerics, progress);
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
  WordsOver<ProcessCommunicator> words_;
  RankCommunicator recorded_;
  FlightLog flights_;
  std::unique_ptr<Denoiser::Loaded> transformer_;
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
    if (all.rank() < decoders) name_failures(all.rank(), [&] { decoder_ = load(0, progress); });
  }

  /// On rank 0. The others learn what it is.
  void decode(LatentsView<const float> latents, const io::PixelFormat& format,
              const model::OnFrames& on_frames) override {
    const Order order = all_.say({.kind = Order::decode,
                                  .shape = latents.shape,
                                  .channels = static_cast<int>(latents.channels),
                                  .decoders = decoders_for(latents, decoders_),
                                  .format = format});
    const Latents own = order.latents();
    std::copy_n(latents.data, latents.size(), own.values.data());
    do_part(own, order, [&](auto& part) {
      part.lead([&](const io::ReadyFrames& frames) { all_.while_away([&] { on_frames(frames); }); });
    });
  }

  /// On another rank: the part of an order.
  void follow(const Order& order) {
    do_part(order.latents(), order, [&](auto& part) { part.follow(progress_); });
  }

 private:
  template <class Work>
  void do_part(const Latents& latents, const Order& order, Work&& work) {
    all_.share(latents.values);
    if (all_.rank() >= order.decoders) return;
    all_.do_part("decode", flights_, progress_, {}, [&] {
      SharedDecode part(recorded_, *decoder_, {latents.values.data(), 1, latents.channels, latents.shape},
                        order.format, order.decoders);
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

}  // namespace

std::unique_ptr<Denoiser::Loaded> WiredRanks::load_transformer(const SharedModels::Transformer& transformer,
                                                               const Ranks& ranks, Progress& progress) {
  say({.kind = Order::load_transformer});
  return std::make_unique<TransformerOnProcesses>(*this, transformer, ranks, progress);
}

std::shared_ptr<VaeDecoderModel> WiredRanks::load_decoder(const LoadVaeDecoder& load, const Ranks& ranks,
                                                          Progress& progress) {
  const Order order = say({.kind = Order::load_decoder, .decoders = ranks.decoders});
  if (order.decoders == 1) return load(0, progress);
  return std::make_shared<DecoderOnProcesses>(*this, load, order.decoders, ranks, progress);
}

std::vector<DealtJob> WiredRanks::deal(std::span<const std::size_t> jobs, const Groups& groups,
                                       const LoadReplica& load, Progress& progress) {
  say({.kind = Order::deal, .groups = groups});
  const Tolerant tolerant(*this);
  RankWire& wire = communicator_.messages().wire();
  GroupWire all(wire, 0, groups.count * groups.ranks_of_each);
  ReplicaDealer dealer(all, jobs, groups.count);
  GroupWire own(wire, 0, groups.ranks_of_each);
  lead_group(own, dealer, load, progress);
  return dealer.finish();
}

void WiredRanks::lead_group(GroupWire& group, JobSource& jobs, const LoadReplica& load, Progress& progress) {
  const auto tell_others = [&](bool begins) {
    for (int rank = 1; rank < group.ranks(); ++rank) post_word(group, rank, begins);
  };
  const struct TellTheEnd {
    const decltype(tell_others)& tell;
    ~TellTheEnd() { tell(false); }
  } tell_the_end{tell_others};  // whatever ends this: the others wait for it
  for (auto job = jobs.next(); job;) {
    tell_others(true);
    try {
      const std::function<void()> meanwhile = [&] { jobs.meanwhile(); };
      ProcessMessages messages(group);
      with_ranks(messages, meanwhile, nullptr, [&](WiredRanks& ranks) {
        const auto work = load(progress, meanwhile);
        while (job) {
          Outcome outcome;
          try {
            outcome = Outcome::of(Outcome::done, work(*job));
          } catch (const SharedFailure& error) {
            outcome = Outcome::of(Outcome::failed_of_job, error.what());
          } catch (const RequestError& error) {
            outcome = Outcome::of(Outcome::failed_of_job, error.what());
          }
          jobs.report(outcome);
          job = jobs.next();
        }
        ranks.say({});
      });
    } catch (const std::exception& error) {
      // The group begins again: no message of before is left.
      const bool is_interrupt = dynamic_cast<const Interrupted*>(&error) != nullptr;
      if (job) jobs.report(Outcome::of(is_interrupt ? Outcome::interrupted : Outcome::failed, error.what()));
      if (job) job = jobs.next();
    }
  }
}

void WiredRanks::follow_group(GroupWire& group, const SharedModels& models, const Ranks& ranks,
                              Progress& progress) {
  while (wait_for_word<bool>(group, 0)) try {
      ProcessMessages messages(group);
      with_ranks(messages, {}, nullptr, [&](WiredRanks& all) { all.follow_orders(models, ranks, progress); });
    } catch (const std::exception&) {
      // The first rank says what it was.
    }
}

void WiredRanks::follow_deal(const Groups& groups, const SharedModels& models, const Ranks& ranks,
                             Progress& progress) {
  const Tolerant tolerant(*this);
  if (rank() >= groups.count * groups.ranks_of_each) return;
  RankWire& wire = communicator_.messages().wire();
  GroupWire group(wire, rank() / groups.ranks_of_each * groups.ranks_of_each, groups.ranks_of_each);
  JobsOfRank0 jobs(wire);
  if (group.rank() == 0)
    lead_group(group, jobs, groups.decode ? models.load_video_decoder : models.load_replica, progress);
  else
    follow_group(group, models, ranks, progress);
}

void WiredRanks::encode(const LoadVaeEncoder& load, VideoView<const float> video, LatentsView<float> mean,
                        LatentsView<float> log_variance, const Ranks& ranks, Progress& progress) {
  if (rank() == 0) say({.kind = Order::encode});
  if (rank() >= ranks.decoders) return;
  RankCommunicator recorded(communicator_, recorder_, RankDeadline(ranks.decode_deadlines(), recorder_));
  FlightLog flights(recorder_, "encode");
  std::shared_ptr<VaeEncoderModel> encoder;
  name_failures(rank(), [&] { encoder = load(progress); });
  do_part("encode", flights, progress, {},
          [&] { encode_part(recorded, *encoder, video, mean, log_variance, ranks.decoders, progress); });
}

void WiredRanks::follow(const SharedModels& models, const Ranks& ranks) {
  // Where a signal reaches all, rank 0 ends first: nobody else leaves it behind.
  catch_interrupts(std::chrono::milliseconds(1600), true);
  const int of_each = static_cast<int>(ranks.topology.ranks());
  Ranks own = ranks;
  if (own.log_file) own.log_file = replica_log_file_of(*own.log_file, rank() / of_each);
  Progress progress = rank_progress(own, rank() % of_each, false);
  follow_orders(models, ranks, progress);
}

void WiredRanks::follow_orders(const SharedModels& models, const Ranks& ranks, Progress& progress) {
  std::optional<TransformerOnProcesses> transformer;
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
        case Order::deal:
          if (order.groups.decode) transformer.reset();
          follow_deal(order.groups, models, ranks, progress);
          break;
        case Order::encode:
          models.encode(progress);
          break;
        case Order::end:
          break;
      }
    } catch (const SharedFailure&) {
      // Rank 0 tells it; what is next, too.
    }
}

}  // namespace stepvideo::pipeline
