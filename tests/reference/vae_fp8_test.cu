// The video VAE's decoder with convolutions in fp8.
#define BOOST_TEST_MODULE vae_fp8_device
#include <algorithm>
#include <cmath>

#include "model/on_gpu_vae.cuh"
#include "model/upload_source.hpp"
#include "place/accelerator.cuh"
#include "reference/vae_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;
using namespace stepvideo::model;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

class OnGpu {
 public:
  explicit OnGpu(const std::string& file)
      : files_(io::Checkpoint::open(file)), config_(VaeConfig::of(files_)) {}

  Device execution() const { return accelerator_.compute(); }
  bool serves_fp8() const { return kernel_gpu().compute_capability / 10 == 9; }
  template <class Half>
  Half load() const {
    place::UploadPath path;
    Half half(execution(), config_, UploadSource(execution(), path.ring, files_, expected_tensors(config_)));
    synchronize(execution());  // the ring's memory ends here
    return half;
  }
  template <Element T, Element N = T>
  std::vector<float> decoded(const testing::PlacedLatents<OnGpu>& latents, std::size_t bytes = 0) const {
    auto decoder = load<VaeDecoder<T, Device, N>>();
    if (bytes > 0) decoder.limit_memory({bytes, true});
    testing::Collected video;
    video.decode(decoder, latents.view());
    return video.pixels;
  }
  const VaeConfig& config() const { return config_; }

 private:
  io::Checkpoint files_;
  VaeConfig config_;
  place::Accelerator accelerator_{0};
};

/// A disc that moves over a plain background, (frames, height, width, 3): what the demo's VAE was trained on.
Buffer<float> moving_disc(VideoShape video) {
  Buffer<float> pixels(index_t{video.frames} * video.height * video.width * 3);
  index_t i = 0;
  for (int f = 0; f < video.frames; ++f)
    for (int y = 0; y < video.height; ++y)
      for (int x = 0; x < video.width; ++x) {
        const double from_centre = std::hypot(x - 20.0 - 1.5 * f, y - 30.0);
        const double cover = std::clamp(12.5 - from_centre, 0.0, 1.0);
        for (const double colour : {0.74, -0.7, -0.7})
          pixels[i++] = static_cast<float>(cover * colour + (1 - cover) * -0.9);
      }
  return pixels;
}

/// Of frames in [-1, 1], clamped as a player would.
double psnr(const std::vector<float>& one, const std::vector<float>& other) {
  double squares = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    const double difference = std::clamp(one[i], -1.0f, 1.0f) - std::clamp(other[i], -1.0f, 1.0f);
    squares += difference * difference;
  }
  return 10 * std::log10(4 * static_cast<double>(one.size()) / squares);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_demos_frames_are_40_dB_or_more_from_those_of_float) {
  const OnGpu on(STEPVIDEO_DEMO_MODEL "/vae/vae_v2.safetensors");
  if (!on.serves_fp8()) return;
  const VideoShape video{34, 64, 96};
  auto encoder = on.load<VaeEncoder<float, Device>>();
  const auto moments = testing::encoded(on, encoder, video, moving_disc(video));
  const LatentShape shape = video.latent();
  Buffer<float> mean(moments.size() / 2);
  std::copy_n(moments.begin(), mean.size(), mean.begin());
  const testing::PlacedLatents<OnGpu> latents(on, mean, on.config().latent_channels, shape);
  const auto exact = on.decoded<float>(latents), rounded = on.decoded<bf16>(latents),
             quantised = on.decoded<bf16, fp8_e4m3>(latents);
  BOOST_TEST_MESSAGE("bf16 " << psnr(rounded, exact) << " dB, fp8 " << psnr(quantised, exact) << " dB");
  BOOST_CHECK_GT(psnr(quantised, exact), 40);
  BOOST_CHECK_GT(psnr(rounded, exact), psnr(quantised, exact));  // it is another arithmetic

  // In as little memory as one frame at a time takes, the same bits.
  const LatentShape chunk{3, shape.height, shape.width};
  const auto bytes =
      vae::chunk_bytes(vae::DecoderRooms<bf16, fp8_e4m3>::lay_out(on.config(), chunk, 1), true);
  const auto in_runs = on.decoded<bf16, fp8_e4m3>(latents, bytes);
  BOOST_CHECK(in_runs == quantised);
}
