// The video VAE on a GPU.
#define BOOST_TEST_MODULE vae_device
#include <cmath>
#include <tuple>

#include <stepvideo/kernels/sampler/noise.cuh>

#include "model/noise_source.hpp"
#include "model/on_gpu_vae.cuh"
#include "model/upload_source.hpp"
#include "model/vae.hpp"
#include "place/accelerator.cuh"
#include "reference/vae_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;
using namespace stepvideo::model;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

using Elements = std::tuple<float, bf16>;

namespace {

/// The golden checkpoint on the first GPU, by the way that the executor takes.
class OnGpu {
 public:
  Device execution() const { return accelerator_.compute(); }
  template <class T>
  VaeDecoder<T, Device> decoder() const {
    return load<VaeDecoder<T, Device>>();
  }
  template <class T>
  VaeEncoder<T, Device> encoder() const {
    return load<VaeEncoder<T, Device>>();
  }

 private:
  template <class Half>
  Half load() const {
    const auto files = testing::tiny();
    const auto config = VaeConfig::of(files);
    place::UploadPath path;
    Half half(execution(), config, UploadSource(execution(), path.ring, files, expected_tensors(config)));
    synchronize(execution());  // the ring's memory ends here
    return half;
  }

  place::Accelerator accelerator_{0};
};

/// An image at the release's widths with random weights: on the GPU against float32 on the host.
template <class T>
void check_release_widths(double bound) {
  const auto config = VaeConfig::release();
  const auto tensors = expected_tensors(config);
  const LatentShape shape{1, 2, 3};
  std::mt19937 engine(45);
  const auto latents = testing::random_normal<float>(shape.tokens() * config.latent_channels, engine);
  testing::Collected expected, actual;
  VaeDecoder<float, Host> on_host(host, config, NoiseSource<Host>(host, tensors, 5));
  expected.decode(on_host, {latents.data(), 1, config.latent_channels, shape});
  const place::Accelerator accelerator(0);
  const Device at = accelerator.compute();
  {
    const auto placed = testing::place(at, latents);
    VaeDecoder<T, Device> on_gpu(at, config, NoiseSource<Device>(at, tensors, 5));
    actual.decode(on_gpu, {placed.data(), 1, config.latent_channels, shape});
  }
  STEPVIDEO_CHECK_CLOSE(actual.pixels, expected.pixels, bound);
  // No element is far off, either.
  double squares = 0, worst = 0;
  for (std::size_t i = 0; i < actual.pixels.size(); ++i) {
    squares += double(expected.pixels[i]) * expected.pixels[i];
    worst = std::max(worst, std::abs(double(actual.pixels[i]) - expected.pixels[i]));
  }
  BOOST_CHECK_LE(worst, 8 * bound * std::sqrt(squares / static_cast<double>(actual.pixels.size())));
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(decoded_videos_equal_those_of_the_release, T, Elements) {
  testing::decoded_videos_equal_those_of_the_release<T>(OnGpu());
}
BOOST_AUTO_TEST_CASE_TEMPLATE(every_traced_layer_equals_the_releases, T, Elements) {
  testing::every_traced_layer_equals_the_releases<T>(OnGpu());
}
BOOST_AUTO_TEST_CASE_TEMPLATE(moments_equal_those_of_the_release, T, Elements) {
  testing::moments_equal_those_of_the_release<T>(OnGpu());
}
BOOST_AUTO_TEST_CASE_TEMPLATE(frames_in_runs_get_the_bits_of_all_together, T, Elements) {
  testing::frames_in_runs_get_the_bits_of_all_together<T>(OnGpu(), 6);
  testing::frames_in_runs_get_the_bits_of_all_together<T>(OnGpu(), 1);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(pixels_of_every_format_are_those_of_the_floats, T, Elements) {
  testing::pixels_of_every_format_are_those_of_the_floats<T>(OnGpu());
}
BOOST_AUTO_TEST_CASE(the_releases_widths_agree_with_the_hosts_in_float) {
  check_release_widths<float>(2e-5);
}
BOOST_AUTO_TEST_CASE(the_releases_widths_agree_with_the_hosts_in_bf16) {
  check_release_widths<bf16>(3e-2);
}
