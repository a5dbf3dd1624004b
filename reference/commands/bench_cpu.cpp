#include "commands/bench_cpu.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include <fmt/format.h>
#include <omp.h>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/sampler/noise.hpp>

#include "io/checkpoint.hpp"
#include "io/model_folder.hpp"
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

/// GFLOP/s of one large product.
double measure_sgemm() {
  constexpr index_t size = 2048;
  const Rotation in(size * size, 1), weight(size * size, 11);
  const Buffer<float> out(size * size);
  openblas_set_num_threads(omp_get_max_threads());
  const double seconds = median_seconds([&](int run) {
    sgemm_tile(in.at(run).matrix(size, size), weight.at(run).matrix(size, size), 0.0f,
               out.matrix(size, size));
  });
  openblas_set_num_threads(1);
  return 2e-9 * size * size * size / seconds;
}

void print_row(const std::string& what, double seconds, double flops, double sgemm) {
  const double rate = 1e-9 * flops / seconds;
  fmt::print("  {:<44} {:>9.3f} ms {:>8.1f} GFLOP/s {:>5.0f} % of sgemm\n", what, 1e3 * seconds, rate,
             100 * rate / sgemm);
}

void bench_linear(index_t rows, index_t columns, index_t depth, double sgemm) {
  const Rotation in(rows * depth, 1), weight(columns * depth, 11);
  const Buffer<float> out(rows * columns);
  const double seconds = median_seconds([&](int run) {
    linear(host, in.at(run).matrix(rows, depth), weight.at(run).matrix(columns, depth), Store{},
           out.matrix(rows, columns));
  });
  print_row(fmt::format("linear {} x {} x {}", rows, columns, depth), seconds,
            2.0 * static_cast<double>(rows * columns * depth), sgemm);
}

/// A causal 3D convolution, bias and residual included. Zero frames and zero rows are skipped and do not
/// count.
void bench_conv(index_t frames, index_t side, index_t channels, double sgemm) {
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
  print_row(fmt::format("causal_conv3d {}x{}x{}, {} to {} channels", frames, side, side, channels, channels),
            seconds,
            2.0 * static_cast<double>((3 * frames - 3) * (3 * side - 2) * 3 * side * channels * channels),
            sgemm);
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
  const double sgemm = measure_sgemm();
  fmt::print("CPU, {} threads, float32\n  {:<44} {:>12} {:>8.1f} GFLOP/s\n", omp_get_max_threads(),
             "sgemm (OpenBLAS) 2048 x 2048 x 2048", "", sgemm);
  for (const auto& [rows, columns, depth] :
       {std::array<index_t, 3>{216, 768, 192}, {432, 768, 192}, {4096, 1024, 1024}, {2048, 2048, 2048}})
    bench_linear(rows, columns, depth, sgemm);
  for (const auto& [frames, side, channels] : {std::array<index_t, 3>{20, 96, 32},
                                               {20, 96, 64},
                                               {10, 48, 32},
                                               {10, 48, 64},
                                               {10, 48, 128},
                                               {5, 24, 128}})
    bench_conv(frames, side, channels, sgemm);
  if (!model) return;
  const LatentShape latent = VideoShape{17, 96, 96}.latent();
  fmt::print("{}, 17 frames of 96x96\n", model->string());
  fmt::print("  {:<44} {:>9.3f} ms\n", "transformer, one forward of a guided pair",
             1e3 * measure_transformer(*model, latent));
  fmt::print("  {:<44} {:>9.3f} ms\n", "VAE, one decode", 1e3 * measure_decoder(*model, latent));
}

}  // namespace stepvideo::commands
