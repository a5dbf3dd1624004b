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

/// Makes a Placed<T, Device> of weights that come from files or from a seed, in the stream that computes.
template <class Base, template <class, class> class Placed, class Config>
std::unique_ptr<Base> load_on_gpu(const place::Place& place, Precision precision, const Config& config,
                                  const Weights& weights, bool allows_extra, Stage& stage) {
  place::Accelerator& accelerator = place.accelerator();
  const Device gpu = accelerator.compute();
  const auto expected = expected_tensors(config);
  return with_element(precision, [&]<Element T>() -> std::unique_ptr<Base> {
    if (weights.seed)
      return std::make_unique<Placed<T, Device>>(place, gpu, config,
                                                 model::NoiseSource<Device>(gpu, expected, *weights.seed));
    place::UploadPath path;
    auto loaded = std::make_unique<Placed<T, Device>>(
        place, gpu, config,
        model::UploadSource(gpu, path.ring, weights.files, expected, allows_extra,
                            [&](std::uint64_t bytes) { stage.progressed(bytes, weights.files.bytes()); }));
    synchronize(gpu);  // the ring's memory ends here
    return loaded;
  });
}

}  // namespace stepvideo::pipeline
