#include "pipeline/ranks_on_threads.hpp"

#include <utility>
#include <vector>

#include "pipeline/nccl.hpp"
#include "pipeline/rank_work.hpp"
#include "pipeline/shared_decode.hpp"
#include "pipeline/thread_ranks.hpp"

namespace stepvideo::pipeline {
namespace {

class TransformerOnThreads final : public Denoiser::Loaded {
 public:
  TransformerOnThreads(const place::Place& place, const model::TransformerConfig& config,
                       const Weights& weights, const Numerics& numerics, const Ranks& ranks,
                       Progress& progress)
      : ranks_(Mesh{ranks.topology}.ranks(), ranks.deadlines, "denoise", ranks),
        transformers_(static_cast<std::size_t>(ranks_.count())) {
    const bool copies = ranks.exchange.kind != ExchangeOptions::Kind::nccl;
    if (place.is_gpu()) copies ? place::let_reach(place, ranks_.count()) : open_nccl(ranks.exchange, true);
    ranks_.run(ranks_.count(), [&](int rank) {
      ThreadRanks::Rank& own = ranks_[rank];
      transformers_[static_cast<std::size_t>(rank)] =
          load_part(own.recorded, place.of_rank(rank),
                    {.words = own.words,
                     .peers = copies ? &own.end : nullptr,
                     .recorder = own.recorder,
                     .deadlines = ranks.deadlines,
                     .exchange = ranks.exchange},
                    Mesh{ranks.topology}, config, weights, numerics, ranks_.progress_of(rank, progress));
    });
  }

  void forward(const Conditioning& conditioning, LatentsView<const float> latents,
               VectorView<const float> times, LatentsView<float> velocity) override {
    ranks_.run(ranks_.count(), [&](int rank) {
      Buffer<float> own(rank > 0 ? velocity.size() : 0);
      LatentsView<float> mine = velocity;
      if (rank > 0) mine.data = own.data();
      transformers_[static_cast<std::size_t>(rank)]->forward(conditioning, latents, times, mine);
    });
  }

  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override {
    ranks_.run_watched(ranks_.count(), progress, run.rescue, [&](int rank) {
      Latents own;
      if (rank > 0) {
        own = {run.latents.shape, run.latents.channels, Buffer<float>(run.latents.size())};
        copy(host, run.latents.values, own.values);
      }
      denoise_part(*transformers_[static_cast<std::size_t>(rank)],
                   {.conditioning = run.conditioning,
                    .settings = run.settings,
                    .latents = rank > 0 ? own : run.latents,
                    .steps_done = run.steps_done,
                    .spare_bytes = run.spare_bytes,
                    .before_step = run.before_step},
                   ranks_[rank].flights, ranks_.progress_of(rank, progress),
                   rank > 0 ? StepObserver{} : observer);
    });
  }

 private:
  ThreadRanks ranks_;
  std::vector<std::unique_ptr<Denoiser::Loaded>> transformers_;  ///< by rank
};

class DecoderOnThreads final : public VaeDecoderModel {
 public:
  DecoderOnThreads(const LoadVaeDecoder& load, const Ranks& ranks, Progress& progress)
      : ranks_(ranks.decoders, ranks.decode_deadlines(), "decode", ranks),
        progress_(progress),
        decoders_(static_cast<std::size_t>(ranks.decoders)) {
    ranks_.run(ranks_.count(), [&](int rank) {
      decoders_[static_cast<std::size_t>(rank)] = load(rank, ranks_.progress_of(rank, progress_));
    });
  }

  void decode(LatentsView<const float> latents, const io::PixelFormat& format,
              const model::OnFrames& on_frames) override {
    const int ranks = decoders_for(latents, ranks_.count()), threads = omp_get_max_threads();
    ranks_.run_watched(ranks, progress_, {}, [&](int rank) {
      SharedDecode part(ranks_[rank].recorded, *decoders_[static_cast<std::size_t>(rank)], latents, format,
                        ranks);
      part.divide_threads(threads);
      rank == 0 ? part.lead(on_frames) : part.follow(ranks_.progress_of(rank, progress_));
    });
  }

 private:
  ThreadRanks ranks_;
  Progress& progress_;
  std::vector<std::shared_ptr<VaeChunkDecoder>> decoders_;
};

}  // namespace

std::unique_ptr<Denoiser::Loaded> load_transformer_on_threads(const place::Place& place,
                                                              const Numerics& numerics,
                                                              const model::TransformerConfig& config,
                                                              const Weights& weights, const Ranks& ranks,
                                                              Progress& progress) {
  return std::make_unique<TransformerOnThreads>(place, config, weights, numerics, ranks, progress);
}

std::shared_ptr<VaeDecoderModel> load_decoder_on_threads(const LoadVaeDecoder& load, const Ranks& ranks,
                                                         Progress& progress) {
  return std::make_shared<DecoderOnThreads>(load, ranks, progress);
}

}  // namespace stepvideo::pipeline
