#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "commands/bench_model.cuh"
#include "commands/bench_vae.hpp"
#include "model/noise_source.hpp"
#include "model/on_gpu_vae.cuh"
#include "place/accelerator.cuh"

namespace stepvideo::commands {
namespace {

constexpr int runs = 5;

/// Where a run's time goes: a mark behind each piece of work.
class WorkTimes final : public model::vae::Observer {
 public:
  explicit WorkTimes(Device gpu) : marks_(gpu) { marks_.mark(); }

  void did(const char* section, model::vae::Work work, double flops) override {
    marks_.mark();
    pieces_.push_back({section, work, flops});
  }

  void print() const {
    using model::vae::Work;
    struct Sums {
      double milliseconds[4] = {}, flops = 0;
    };
    std::map<std::string, Sums> of;
    std::vector<std::string> sections;  // in the network's order
    Sums all;
    const auto times = marks_.intervals();
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const auto& [section, work, flops] = pieces_[i];
      if (!of.contains(section)) sections.emplace_back(section);
      for (Sums* const sums : {&of[section], &all}) {
        sums->milliseconds[static_cast<int>(work)] += times[i];
        sums->flops += flops;
      }
    }
    fmt::print("  {:<14} {:>9} {:>9} {:>9} {:>9} {:>12}\n", "ms", "norms", "convs", "attention", "other",
               "TFLOP/s");
    const auto line = [](const std::string& name, const Sums& sums) {
      const auto ms = [&](Work work) { return sums.milliseconds[static_cast<int>(work)]; };
      const double matrix_ms = ms(Work::convolution) + ms(Work::attention);
      fmt::print("  {:<14} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>12.0f}\n", name, ms(Work::norm),
                 ms(Work::convolution), ms(Work::attention), ms(Work::other),
                 matrix_ms > 0 ? 1e-9 * sums.flops / matrix_ms : 0);
    };
    for (const auto& section : sections) line(section, of.at(section));
    line("all", all);
  }
  double flops() const {
    double sum = 0;
    for (const auto& piece : pieces_) sum += piece.flops;
    return sum;
  }

 private:
  struct Piece {
    std::string section;
    model::vae::Work work;
    double flops;
  };
  Marks marks_;
  std::vector<Piece> pieces_;
};

void require_sound(const char* half, double squares) {
  if (!(squares > 0 && std::isfinite(squares)))
    throw Error(std::string("bench vae: the ") + half + "'s result is zero or not finite");
}

/// Times `run`, prints it, then once more piece by piece: `model` is the half that it runs.
template <class Model, class Run>
void measure(place::Accelerator& accelerator, const char* name, Model& model, std::uint64_t weight_bytes,
             Run&& run) {
  const Device at = accelerator.compute();
  accelerator.gpu.reset_peak();
  run();
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    Marks marks(at);
    marks.mark();
    run();
    marks.mark();
    times.push_back(marks.intervals().front());
  }
  WorkTimes work(at);
  model.observe(&work);
  run();
  model.observe(nullptr);
  const double milliseconds = median_of(times);
  fmt::print("{:<44} {:>9.2f} ms {:>6.0f} TFLOP/s  {:.0f} TFLOP, {:.2f} GB with {:.2f} GB of weights\n", name,
             milliseconds, 1e-9 * work.flops() / milliseconds, 1e-12 * work.flops(),
             1e-9 * static_cast<double>(accelerator.gpu.peak_bytes()),
             1e-9 * static_cast<double>(weight_bytes));
  work.print();
  std::fflush(stdout);
}

template <Element N>
void measure_decoder(place::Accelerator& accelerator, const VaeBenchRequest& request) {
  const Device at = accelerator.compute();
  const auto config = model::VaeConfig::release();
  const LatentShape latent = request.chunk.latent();
  model::VaeDecoder<bf16, Device, N> decoder(
      at, config, model::NoiseSource<Device>(at, model::expected_tensors(config), request.seed));
  decoder.limit_memory(request.memory);
  synchronize(at);
  const auto weight_bytes = accelerator.gpu.used_bytes();
  const auto latents = random_values<float>(at, latent.tokens() * config.latent_channels, 1);
  const LatentsView<const float> view{latents.data(), 1, config.latent_channels, latent};
  double squares = 0;
  decoder.decode(view, FloatPixels{}, [&](const io::ReadyFrames& ready) {
    const VideoView<const float> frames = io::floats_of(ready);
    for (index_t i = 0; i < frames.size(); ++i) squares += double(frames.data[i]) * frames.data[i];
  });
  require_sound("decoder", squares);
  measure(accelerator, "decode, one chunk to 4:4:4 in the host's memory", decoder, weight_bytes,
          [&] { decoder.decode(view, YuvPixels<1>{}, [](const io::ReadyFrames&) {}); });
}

void measure_encoder(place::Accelerator& accelerator, const VaeBenchRequest& request) {
  const Device at = accelerator.compute();
  const auto config = model::VaeConfig::release();
  const auto& [frames, height, width] = request.chunk;
  const LatentShape latent = request.chunk.latent();
  model::VaeEncoder<bf16, Device> encoder(
      at, config, model::NoiseSource<Device>(at, model::expected_tensors(config), request.seed));
  encoder.limit_memory(request.memory);
  synchronize(at);
  const auto weight_bytes = accelerator.gpu.used_bytes();
  const auto video = random_values<float>(at, index_t{frames} * height * width * 3, 0.5f);
  const index_t size = latent.tokens() * config.latent_channels;
  const Buffer<float, Device> mean(at, size), log_variance(at, size);
  measure(accelerator, "encode, one chunk", encoder, weight_bytes, [&] {
    encoder.encode({video.data(), frames, height, width, 3}, {mean.data(), 1, config.latent_channels, latent},
                   {log_variance.data(), 1, config.latent_channels, latent});
  });
  const Buffer<float> values(size);
  download(at, mean.vector(), values.data());
  double squares = 0;
  for (const float value : values) squares += double(value) * value;
  require_sound("encoder", squares);
}

}  // namespace

void bench_vae(const place::Place& place, const VaeBenchRequest& request) {
  place::Accelerator& accelerator = place.accelerator();
  fmt::print("{}, the video VAE on {}, bf16{}, random weights and inputs\n", place.name(),
             to_string(request.chunk), request.convolves_in_fp8 ? ", convolutions that decode in fp8" : "");
  if (request.convolves_in_fp8)
    measure_decoder<fp8_e4m3>(accelerator, request);
  else
    measure_decoder<bf16>(accelerator, request);
  measure_encoder(accelerator, request);
}

}  // namespace stepvideo::commands
