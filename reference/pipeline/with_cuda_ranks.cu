// The transformer's parts on ranks that have GPUs.
#include <functional>
#include <memory>
#include <utility>

#include <stepvideo/comm/gpu_communicator.cuh>
#include <stepvideo/comm/peer_wire.cuh>
#include <stepvideo/stepvideo.cuh>

#include "model/fence.cuh"
#include "model/shared_source.hpp"
#include "pipeline/load_on_gpu.cuh"
#include "pipeline/nccl.hpp"
#include "pipeline/pace.cuh"
#include "pipeline/placed_transformer.hpp"

namespace stepvideo::pipeline {
namespace {

/// One template for every way to exchange: a wire is chosen when the rank starts.
using RankCommunicator = Recorded<GpuCommunicator, RankDeadline>;

std::unique_ptr<DeviceWire> make_wire(const GpuRankEnds& ends) {
  if (ends.peers != nullptr) return std::make_unique<PeerWire>(*ends.peers);
  return make_nccl_wire(ends.words, ends.exchange);
}

template <Element T>
class PartOnGpu final : public Denoiser::Loaded {
 public:
  PartOnGpu(const place::Place& place, const GpuRankEnds& ends, Mesh mesh, const Numerics& numerics,
            const model::TransformerConfig& config, const Weights& weights, Stage& stage)
      : place_(place),
        recorder_(ends.recorder),
        gpu_(place.accelerator().compute()),
        wire_(make_wire(ends)),
        communicator_(ends.words, *wire_, gpu_),
        recorded_(communicator_, recorder_, RankDeadline(ends.deadlines, recorder_)) {
    const auto expected = expected_tensors(config);
    const auto load = [&](auto&& whole) {
      transformer_ = std::make_unique<PlacedTransformer<T, Device, RankCommunicator>>(
          place, gpu_, config, model::CutSource<Device>(gpu_, whole, config, mesh, ends.words.rank()),
          numerics, recorded_, mesh);
      synchronize(gpu_);  // what it was loaded through ends here
    };
    if (weights.seed) {
      load(model::NoiseSource<Device>(gpu_, expected, *weights.seed));
    } else {
      place::UploadPath path;
      load(model::UploadSource(gpu_, path.ring, weights.files, expected, false, [&](std::uint64_t bytes) {
        stage.progressed(bytes, weights.files.bytes());
      }));
    }
  }

  void forward(const Conditioning& conditioning, LatentsView<const float> latents,
               VectorView<const float> times, LatentsView<float> velocity) override {
    together([&] { transformer_->forward(conditioning, latents, times, velocity); });
  }
  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override {
    together([&] { transformer_->denoise(run, progress, observer); });
  }

 private:
  /// All ranks call it at the same time. Whether it goes well or not, no GPU waits for another behind it.
  template <class Work>
  void together(Work&& work) {
    place_.bind();
    try {
      work();
      communicator_.settle(gpu_);
      communicator_.finish();
    } catch (...) {
      communicator_.abort();
      recorder_.forget_queued();
      throw;
    }
  }

  place::Place place_;
  FlightRecorder& recorder_;
  Device gpu_;
  std::unique_ptr<DeviceWire> wire_;
  GpuCommunicator communicator_;
  RankCommunicator recorded_;
  std::unique_ptr<PlacedTransformer<T, Device, RankCommunicator>> transformer_;
};

}  // namespace

std::unique_ptr<Denoiser::Loaded> load_transformer_part_on_gpu(const place::Place& place,
                                                               const GpuRankEnds& ends, Mesh mesh,
                                                               const Numerics& numerics,
                                                               const model::TransformerConfig& config,
                                                               const Weights& weights, Stage& stage) {
  return with_element(numerics.precision, [&]<Element T>() -> std::unique_ptr<Denoiser::Loaded> {
    return std::make_unique<PartOnGpu<T>>(place, ends, mesh, numerics, config, weights, stage);
  });
}

}  // namespace stepvideo::pipeline
