#include <algorithm>
#include <chrono>
#include <cmath>
#include <concepts>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "commands/bench_model.cuh"
#include "commands/bench_pytorch.hpp"
#include "commands/bench_transformer.hpp"
#include "model/noise_source.hpp"
#include "model/on_gpu.cuh"
#include "place/accelerator.cuh"
#include "support/timing.cuh"

namespace stepvideo::commands {
namespace {

constexpr index_t clip_tokens = 77, llm_tokens = 320, visible_llm_tokens = 123;
constexpr index_t text_tokens = clip_tokens + llm_tokens, visible_tokens = clip_tokens + visible_llm_tokens;

/// Operations of a block's products and attentions; the text's keys and values are made once a prompt.
double block_flops(const model::TransformerConfig& config, index_t tokens) {
  const auto n = static_cast<double>(tokens), width = static_cast<double>(config.width());
  constexpr double matrices = 3 + 1 + 1 + 1 + 4 + 4;  // qkv, wo, cross wq, cross wo, feed forward in and out
  return 2 * matrices * n * width * width + 4 * n * (n + static_cast<double>(visible_tokens)) * width;
}

/// Random normal values as rows of W: of bf16, or quantised with a scale each.
template <class W>
struct RandomRows;
template <>
struct RandomRows<bf16> {
  Buffer<bf16, Device> values;
  index_t columns;

  RandomRows(Device gpu, index_t rows, index_t width, float scale)
      : values(random_values<bf16>(gpu, rows * width, scale)), columns(width) {}
  auto operator()(index_t rows) const { return values.matrix(rows, columns); }
};
template <>
struct RandomRows<fp8_e4m3> {
  Buffer<fp8_e4m3, Device> values;
  Buffer<float, Device> scales;
  index_t columns;

  RandomRows(Device gpu, index_t rows, index_t width, float scale)
      : values(gpu, rows * width), scales(gpu, rows), columns(width) {
    const auto wide = random_values<bf16>(gpu, rows * width, scale);
    quantize_rows(gpu, TokensView<const bf16>::dense(wide.data(), 1, rows, width),
                  {TokensView<fp8_e4m3>::dense(values.data(), 1, rows, width), scales.vector()});
  }
  auto operator()(index_t rows) const {
    return ScaledRows(values.matrix(rows, columns), {scales.data(), rows});
  }
};

/// The products and the attentions of a block, and nothing else: products of W, self-attention in bf16 or, of
/// operands that are quantised before, in fp8.
template <class W>
class MatrixWork {
 public:
  MatrixWork(Device gpu, const model::TransformerConfig& config, index_t tokens, bool attends_in_fp8)
      : gpu_(gpu),
        heads_(config.heads),
        tokens_(tokens),
        width_(config.width()),
        wqkv_(weight(3 * width_, width_)),
        wo_(weight(width_, width_)),
        cross_wq_(weight(width_, width_)),
        cross_wo_(weight(width_, width_)),
        in_(weight(hidden(), width_)),
        out_(weight(width_, hidden())),
        x_(gpu, tokens, width_, 1),
        wide_(gpu, tokens, hidden(), 1),
        results_(random_values<bf16>(gpu, tokens * hidden(), 1)),
        attended_(random_values<bf16>(gpu, tokens * width_, 1)),
        text_(random_values<bf16>(gpu, text_tokens * 2 * width_, 1)) {
    Buffer<index_t> lengths(1);
    lengths[0] = visible_tokens;
    lengths_ = transfer(gpu, std::move(lengths));
    if (!attends_in_fp8) return;
    const auto source = heads_of(results_.data(), 3);
    operands_memory_ =
        Buffer<std::byte, Device>(gpu, static_cast<index_t>(fp8_attention_workspace(gpu, source, source)));
    operands_ =
        quantize_attention<bf16>(gpu, source, part(1), part(2), {}, true, Workspace(operands_memory_));
  }

  void run() const {
    multiply(x_, wqkv_, Store{}, 3 * width_);
    const auto out = heads_of(attended_.data(), 1);
    const AttentionOptions options{.scale = 1 / std::sqrt(static_cast<float>(heads_.dim))};
    if (operands_)
      fp8_attention(gpu_, QuantizedHeads<const fp8_e4m3>(operands_->queries),
                    QuantizedHeads<const fp8_e4m3>(operands_->keys),
                    QuantizedValues<const fp8_e4m3>(operands_->values), FullMask{}, out, options);
    else
      attention(gpu_, heads_of(results_.data(), 3), part(1), part(2), FullMask{}, out, options);
    multiply(x_, wo_, Store{}, width_);
    multiply(x_, cross_wq_, Store{}, width_);
    const auto of_text = [&](index_t p) {
      return HeadsView<bf16>{
          text_.data() + p * heads_.dim, 1,          text_tokens,   heads_.count, heads_.dim,
          text_tokens * 2 * width_,      2 * width_, 2 * heads_.dim};
    };
    attention(gpu_, heads_of(results_.data(), 1), of_text(0), of_text(1), KeyPrefixMask{lengths_.vector()},
              out, options);
    multiply(x_, cross_wo_, Store{}, width_);
    // In fp8 the function is part of the quantisation that follows.
    if constexpr (std::same_as<W, bf16>) {
      multiply(x_, in_, Activate<GeluTanh>{}, hidden());
    } else {
      multiply(x_, in_, Store{}, hidden());
    }
    multiply(wide_, out_, Store{}, width_);
  }

 private:
  index_t hidden() const { return 4 * width_; }
  RandomRows<W> weight(index_t rows, index_t columns) const {
    return {gpu_, rows, columns, 1 / std::sqrt(static_cast<float>(columns))};
  }
  /// The first of `parts` runs of each head.
  HeadsView<bf16> heads_of(bf16* values, index_t parts) const {
    return {values,         1,
            tokens_,        heads_.count,
            heads_.dim,     tokens_ * parts * width_,
            parts * width_, parts * heads_.dim};
  }
  HeadsView<bf16> part(index_t p) const {
    HeadsView<bf16> view = heads_of(results_.data(), 3);
    view.data += p * heads_.dim;
    return view;
  }
  template <class Epilogue>
  void multiply(const RandomRows<W>& in, const RandomRows<W>& weight, const Epilogue& epilogue,
                index_t columns) const {
    linear(gpu_, in(tokens_), weight(columns), epilogue, results_.matrix(tokens_, columns));
  }

  Device gpu_;
  HeadShape heads_;
  index_t tokens_, width_;
  RandomRows<W> wqkv_, wo_, cross_wq_, cross_wo_, in_, out_, x_, wide_;
  Buffer<bf16, Device> results_, attended_, text_;
  Buffer<index_t, Device> lengths_;
  Buffer<std::byte, Device> operands_memory_;
  std::optional<Fp8Operands> operands_;
};

std::string state_text(const bench::GpuState& state) {
  return fmt::format("{:.0f} W, {:.0f} MHz", state.power_watts.value_or(NAN), state.clock_mhz.value_or(NAN));
}

void print(const std::string& name, double milliseconds, double flops, const std::string& rest) {
  fmt::print("{:<44} {:>9.2f} ms {:>6.0f} TFLOP/s  {}\n", name, milliseconds, 1e-9 * flops / milliseconds,
             rest);
  std::fflush(stdout);
}

template <class W>
double measure_matrix_work(place::Accelerator& accelerator, const place::GpuDescription& gpu,
                           const model::TransformerConfig& config, index_t tokens,
                           const TransformerBenchRequest& request) {
  const MatrixWork<W> work(accelerator.compute(), config, tokens, request.attends_in_fp8);
  const auto chain = [&](int runs) {
    Marks marks(accelerator.compute());
    marks.mark();
    for (int run = 0; run < runs; ++run) work.run(), marks.mark();
    return marks.intervals();
  };
  const double first = chain(3).back();
  GpuMonitor monitor(nvml_source(gpu.bus_id), bench::GpuState::pause);
  const auto times = chain(std::max(5, static_cast<int>(1e3 * request.matrix_seconds / first)));
  const bench::GpuState state(monitor.stop());
  const double milliseconds = median_of(times);
  print(fmt::format("matrix work of a block alone, {} in a chain", times.size()), milliseconds,
        block_flops(config, tokens), state_text(state));
  return milliseconds;
}

void measure_model(place::Accelerator& accelerator, const place::GpuDescription& gpu,
                   const model::TransformerConfig& config, LatentShape latent, double matrix_ms,
                   const TransformerBenchRequest& request) {
  const double flops = block_flops(config, latent.tokens());
  const Device at = accelerator.compute();
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  model::Transformer<bf16, Device> transformer(
      at, config, model::NoiseSource<Device>(at, model::expected_tensors(config), 1),
      {.quantization =
           model::Quantization::of(config.layers, request.multiplies_in_fp8, request.attends_in_fp8)});
  synchronize(at);
  fmt::print("{:<44} {:>9.2f} s, {:.1f} GB of weights\n", "random weights made on the GPU",
             std::chrono::duration<double>(Clock::now() - begin).count(),
             1e-9 * static_cast<double>(accelerator.gpu.used_bytes()));

  const auto latents = random_values<float>(at, latent.tokens() * config.in_channels, 1);
  const Buffer<float, Device> velocity(at, latent.tokens() * config.out_channels);
  const auto llm = random_values<float>(at, llm_tokens * config.llm_width, 1),
             clip = random_values<float>(at, clip_tokens * config.clip_width, 1);
  Buffer<float> host_times(1);
  host_times[0] = 0.3f;
  const auto times = transfer(at, std::move(host_times));
  const std::vector<index_t> lengths{visible_tokens};
  const std::uint64_t weight_bytes = accelerator.gpu.used_bytes();
  accelerator.gpu.reset_peak();
  auto text = transformer.prepare_text(
      TokensView<const float>::dense(llm.data(), 1, llm_tokens, config.llm_width),
      TokensView<const float>::dense(clip.data(), 1, clip_tokens, config.clip_width), lengths);
  const auto forward = [&] {
    Marks marks(at);
    marks.mark();
    transformer.forward({latents.data(), 1, config.in_channels, latent}, times.vector(), text,
                        {velocity.data(), 1, config.out_channels, latent},
                        {.between_blocks = [&](int) { marks.mark(); }});
    marks.mark();
    return marks.intervals();
  };
  forward();
  GpuMonitor monitor(nvml_source(gpu.bus_id), bench::GpuState::pause);
  const auto parts = forward();
  const bench::GpuState state(monitor.stop());
  const std::vector<double> blocks(parts.begin() + 1,
                                   parts.end() - 1);  // the first holds the beginning as well
  double all = 0;
  for (const double part : parts) all += part;
  const double block = median_of(blocks);
  print("one block", block, flops,
        fmt::format("{:.4f} x the matrix work, {:.2f} ms more; {}", block / matrix_ms, block - matrix_ms,
                    state_text(state)));
  print(fmt::format("{} blocks and the ends", config.layers), all, config.layers * flops,
        fmt::format("{:+.2f} % to {} blocks", 100 * (all / (config.layers * block) - 1), config.layers));
  fmt::print("{:<44} {:>9.2f} GB over the weights, latents and text states\n", "memory",
             1e-9 * static_cast<double>(accelerator.gpu.peak_bytes() - weight_bytes));
  Buffer<float> result(velocity.size());
  download(at, velocity.vector(), result.data());
  double squares = 0;
  for (const float value : result) squares += static_cast<double>(value) * value;
  if (!(squares > 0 && std::isfinite(squares))) throw Error("the velocity is zero or not finite");
  fmt::print("{:<44} {:>9.4f} (finite, not zero)\n", "velocity, root mean square",
             std::sqrt(squares / static_cast<double>(result.size())));
}

}  // namespace

bool can_bench_models() {
  return true;
}

void bench_transformer(const place::Place& place, const TransformerBenchRequest& request) {
  place::Accelerator& accelerator = place.accelerator();
  model::TransformerConfig config;
  config.layers = request.layers;
  const LatentShape latent = request.video.latent();
  const auto tokens = static_cast<index_t>(latent.tokens());
  fmt::print("{}, {} tokens, products in {}, attention in {}, random weights and inputs\n", place.name(),
             tokens, request.multiplies_in_fp8 ? "fp8" : "bf16", request.attends_in_fp8 ? "fp8" : "bf16");
  if (request.pytorch) {
    const auto block = time_pytorch_block(*request.pytorch, latent, visible_tokens);
    fmt::print("{:<44} {:>9.2f} ms, peak {:.1f} GB ({})\n", "one block of the release, eager PyTorch",
               block.milliseconds, 1e-9 * block.peak_bytes, block.versions);
  }
  const auto measure = request.multiplies_in_fp8 ? measure_matrix_work<fp8_e4m3> : measure_matrix_work<bf16>;
  const double matrix_ms = measure(accelerator, place.gpu(), config, tokens, request);
  measure_model(accelerator, place.gpu(), config, latent, matrix_ms, request);
}

}  // namespace stepvideo::commands
