// How a model comes to a GPU.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "model/fence.cuh"
#include "model/layer_store.hpp"
#include "model/noise_source.hpp"
#include "model/upload_source.hpp"
#include "pipeline/on_gpu.hpp"
#include "place/accelerator.cuh"

namespace stepvideo::pipeline {

/// Makes a Placed of weights that come from files or from a seed, in the stream that computes; its
/// constructor takes the `rest` behind them.
template <class Base, class Placed, class Config, class... Rest>
std::unique_ptr<Base> load_placed(const place::Place& place, const Config& config, const Weights& weights,
                                  bool allows_extra, Stage& stage, Rest&&... rest) {
  const Device gpu = place.accelerator().compute();
  const auto expected = expected_tensors(config);
  if (weights.seed)
    return std::make_unique<Placed>(place, gpu, config,
                                    model::NoiseSource<Device>(gpu, expected, *weights.seed),
                                    std::forward<Rest>(rest)...);
  place::UploadPath path;
  auto loaded = std::make_unique<Placed>(
      place, gpu, config,
      model::UploadSource(gpu, path.ring, weights.files, expected, allows_extra,
                          [&](std::uint64_t bytes) { stage.progressed(bytes, weights.files.bytes()); }),
      std::forward<Rest>(rest)...);
  synchronize(gpu);  // the ring's memory ends here
  return loaded;
}

/// The same of Placed<T, Device>, of the precision's T.
template <class Base, template <class, class> class Placed, class Config>
std::unique_ptr<Base> load_on_gpu(const place::Place& place, Precision precision, const Config& config,
                                  const Weights& weights, bool allows_extra, Stage& stage) {
  return with_element(precision, [&]<Element T>() {
    return load_placed<Base, Placed<T, Device>>(place, config, weights, allows_extra, stage);
  });
}

/// Files through a ring of pinned memory of its own, for as long as something is fetched from them.
class StreamSource final : public model::WeightSource<Device> {
 public:
  StreamSource(Device device, const io::Checkpoint& files, const std::vector<io::ExpectedTensor>& expected)
      : source_(device, path_.ring, files, expected) {}

  const io::Shape& shape(const std::string& name) const override { return source_.shape(name); }
  void read(const std::string& name, VectorView<float> into) override { source_.read(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { source_.read(name, into); }
  bool has_scales(const std::string& name) const override { return source_.has_scales(name); }
  void read_scaled(const std::string& name, const ScaledTokensView& into) override {
    source_.read_scaled(name, into);
  }

 private:
  place::UploadPath path_;
  model::UploadSource source_;
};

/// Layers that are fetched as they are needed, in the stream for copies. The weights outlive them.
template <model::LayerSlabs<Device> Slabs>
auto stream_layers(const place::Place& place, const Weights& weights,
                   const std::vector<io::ExpectedTensor>& expected, Slabs slabs) {
  const Device compute = place.accelerator().compute(), copies = place.accelerator().gpu.copies();
  std::unique_ptr<model::WeightSource<Device>> source;
  if (weights.seed)
    source = std::make_unique<model::NoiseSource<Device>>(copies, expected, *weights.seed);
  else
    source = std::make_unique<StreamSource>(copies, weights.files, expected);
  return std::make_unique<model::StreamedLayers<Device, Slabs>>(compute, copies, std::move(slabs),
                                                                std::move(source));
}

}  // namespace stepvideo::pipeline
