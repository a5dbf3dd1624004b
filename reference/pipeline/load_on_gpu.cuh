// How a model comes to a GPU.
#pragma once
#include <memory>

#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "model/noise_source.hpp"
#include "model/upload_source.hpp"
#include "pipeline/on_gpu.hpp"
#include "place/accelerator.cuh"

namespace stepvideo::pipeline {

/// Makes a Placed of weights that come from files or from a seed, in the stream that computes.
template <class Base, class Placed, class Config>
std::unique_ptr<Base> load_placed(const place::Place& place, const Config& config, const Weights& weights,
                                  bool allows_extra, Stage& stage) {
  const Device gpu = place.accelerator().compute();
  const auto expected = expected_tensors(config);
  if (weights.seed)
    return std::make_unique<Placed>(place, gpu, config,
                                    model::NoiseSource<Device>(gpu, expected, *weights.seed));
  place::UploadPath path;
  auto loaded = std::make_unique<Placed>(
      place, gpu, config,
      model::UploadSource(gpu, path.ring, weights.files, expected, allows_extra,
                          [&](std::uint64_t bytes) { stage.progressed(bytes, weights.files.bytes()); }));
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

}  // namespace stepvideo::pipeline
