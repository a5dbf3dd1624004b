#include "commands/bench_cpu.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <omp.h>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/sampler/noise.hpp>

#include "io/checkpoint.hpp"
#include "io/model_folder.hpp"
#include "io/printable.hpp"
#include "model/transformer.hpp"
#include "model/vae.hpp"

namespace stepvideo::commands {
namespace {

/// Median time of call(0), call(1), ... in seconds, after one run that makes pages and threads.
template <class Call>
double median_seconds(Call&& call, int least_runs = 9, double least_seconds = 0.4) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  double total = 0;
  call(0);
  for (int run = 1; run <= least_runs || total < least_seconds; ++run) {
    const auto start = Clock::now();
    call(run);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    total += seconds.back();
  }
  std::ranges::nth_element(seconds, seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2));
  return seconds[seconds.size() / 2];
}

/// Buffers that take turns.
class Rotation {
 public:
  static constexpr int sets = 4;

  Rotation(index_t size, std::uint64_t seed) {
    for (int set = 0; set < sets; ++set) {
      buffers_.emplace_back(size);
      fill_unit_normal(host, seed + static_cast<std::uint64_t>(set), 0, buffers_.back().vector());
    }
  }
  const Buffer<float>& at(int run) const { return buffers_[static_cast<std::size_t>(run % sets)]; }

 private:
  std::vector<Buffer<float>> buffers_;
};

/// One large product, timed beside each row: what the machine does meanwhile slows both down.
class Reference {
 public:
  /// GFLOP/s now.
  double measure(int least_runs = 3, double least_seconds = 0.1) {
    openblas_set_num_threads(omp_get_max_threads());
    const double seconds = median_seconds(
        [&](int run) {
          sgemm_tile(in_.at(run).matrix(size, size), weight_.at(run).matrix(size, size), 0.0f,
                     out_.matrix(size, size));
        },
        least_runs, least_seconds);
    openblas_set_num_threads(1);
    const double rate = 2e-9 * size * size * size / seconds;
    least_ = std::min(least_, rate), most_ = std::max(most_, rate);
    return rate;
  }

  void print_row(const std::string& what, double seconds, double flops) {
    const double rate = 1e-9 * flops / seconds, share = rate / measure();
    best_share_ = std::max(best_share_, share);
    fmt::print("  {:<44} {:>9.3f} ms {:>8.1f} GFLOP/s {:>5.0f} % of sgemm\n", what, 1e3 * seconds, rate,
               100 * share);
  }

  /// Says where the ratios are not to be trusted, and why.
  void warn() const {
    constexpr double steady = 1.3, plausible = 1.25;
    const char* const core = std::getenv("OPENBLAS_CORETYPE");
    if (core != nullptr)
      fmt::print(
          "warning: OPENBLAS_CORETYPE={} chooses sgemm\'s instructions; without it OpenBLAS takes those of "
          "this processor\n",
          io::printable(core));
    else if (best_share_ > plausible)
      fmt::print(
          "warning: {:.0f} % of sgemm is more than sgemm should leave: OpenBLAS does not use all that this "
          "processor can do\n",
          100 * best_share_);
    if (most_ > steady * least_)
      fmt::print("warning: sgemm ran at {:.0f} to {:.0f} GFLOP/s meanwhile: the machine had other work\n",
                 least_, most_);
  }

 private:
  static constexpr index_t size = 2048;

  Rotation in_{size * size, 1}, weight_{size * size, 11};
  Buffer<float> out_{size * size};
  double least_ = std::numeric_limits<double>::max(), most_ = 0, best_share_ = 0;
};

void bench_linear(index_t rows, index_t columns, index_t depth, Reference& reference) {
  const Rotation in(rows * depth, 1), weight(columns * depth, 11);
  const Buffer<float> out(rows * columns);
  const double seconds = median_seconds([&](int run) {
    linear(host, in.at(run).matrix(rows, depth), weight.at(run).matrix(columns, depth), Store{},
           out.matrix(rows, columns));
  });
  reference.print_row(fmt::format("linear {} x {} x {}", rows, columns, depth), seconds,
                      2.0 * static_cast<double>(rows * columns * depth));
}

/// A causal 3D convolution, bias and residual included. Zero frames and zero rows are skipped and do not
/// count.
void bench_conv(index_t frames, index_t side, index_t channels, Reference& reference) {
  const ConvShape shape{channels, channels, 3, 3, 3};
  const VideoView<float> extents{nullptr, frames, side, side, channels};
  const Rotation in(extents.size(), 1), residual(extents.size(), 11), weight(shape.elements(), 21),
      bias(channels, 31);
  const Buffer<float> packed(conv_weight_elements(host, shape)), out(extents.size());
  const auto packed_weight = pack_conv_weight(host, weight.at(0).vector(), shape, packed.vector());
  const auto video = [&](const Buffer<float>& values) {
    VideoView<float> view = extents;
    view.data = values.data();
    return view;
  };
  const double seconds = median_seconds([&](int run) {
    causal_conv3d(host, video(in.at(run)), packed_weight, bias.at(0).vector(), {},
                  Residual<float>{video(residual.at(run)).rows()}, video(out));
  });
  reference.print_row(
      fmt::format("causal_conv3d {}x{}x{}, {} to {} channels", frames, side, side, channels, channels),
      seconds, 2.0 * static_cast<double>((3 * frames - 3) * (3 * side - 2) * 3 * side * channels * channels));
}

/// One forward of prompt and negative prompt, with 77 CLIP and 51 LLM tokens.
double measure_transformer(const std::filesystem::path& model, LatentShape shape) {
  constexpr index_t batch = 2, clip_tokens = 77, llm_tokens = 51;
  const auto folder = io::find_component(model, io::Component::transformer);
  const model::TransformerConfig config = model::read_transformer_config(folder / "config.json");
  model::Transformer<float, Host> transformer(host, config, io::Checkpoint::open(folder));
  const Rotation llm(batch * llm_tokens * config.llm_width, 1),
      clip(batch * clip_tokens * config.clip_width, 11);
  const std::array<index_t, batch> keys{clip_tokens + llm_tokens, clip_tokens + llm_tokens};
  auto text = transformer.prepare_text(
      TokensView<const float>::dense(llm.at(0).data(), batch, llm_tokens, config.llm_width),
      TokensView<const float>::dense(clip.at(0).data(), batch, clip_tokens, config.clip_width), keys);
  const Rotation latents(batch * shape.tokens() * config.in_channels, 21);
  const Buffer<float> velocity(batch * shape.tokens() * config.out_channels), times(batch);
  std::ranges::fill(times, 0.5f);
  return median_seconds([&](int run) {
    transformer.forward({latents.at(run).data(), batch, config.in_channels, shape}, times.vector(), text,
                        {velocity.data(), batch, config.out_channels, shape});
  });
}

double measure_decoder(const std::filesystem::path& model, LatentShape shape) {
  const auto files = io::Checkpoint::open(io::find_component(model, io::Component::vae));
  const auto config = model::VaeConfig::of(files);
  model::VaeDecoder<float, Host> decoder(host, config,
                                         model::CheckpointSource(files, model::expected_tensors(config)));
  const index_t channels = decoder.config().latent_channels;
  const Rotation latents(shape.tokens() * channels, 1);
  return median_seconds([&](int run) {
    decoder.decode({latents.at(run).data(), 1, channels, shape}, YuvPixels<1>{},
                   [](const io::ReadyFrames&) {});
  });
}

}  // namespace

void bench_cpu(const std::optional<std::filesystem::path>& model) {
  Reference reference;
  const double sgemm = reference.measure(9, 0.4);
  fmt::print("CPU, {} threads, float32\n  {:<44} {:>12} {:>8.1f} GFLOP/s\n", omp_get_max_threads(),
             "sgemm (OpenBLAS) 2048 x 2048 x 2048", "", sgemm);
  for (const auto& [rows, columns, depth] :
       {std::array<index_t, 3>{216, 768, 192}, {432, 768, 192}, {4096, 1024, 1024}, {2048, 2048, 2048}})
    bench_linear(rows, columns, depth, reference);
  for (const auto& [frames, side, channels] : {std::array<index_t, 3>{20, 96, 32},
                                               {20, 96, 64},
                                               {10, 48, 32},
                                               {10, 48, 64},
                                               {10, 48, 128},
                                               {5, 24, 128}})
    bench_conv(frames, side, channels, reference);
  reference.warn();
  if (!model) return;
  const LatentShape latent = VideoShape{17, 96, 96}.latent();
  fmt::print("{}, 17 frames of 96x96\n", model->string());
  fmt::print("  {:<44} {:>9.3f} ms\n", "transformer, one forward of a guided pair",
             1e3 * measure_transformer(*model, latent));
  fmt::print("  {:<44} {:>9.3f} ms\n", "VAE, one decode", 1e3 * measure_decoder(*model, latent));
}

}  // namespace stepvideo::commands
