#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>

#include <thrust/equal.h>
#include <thrust/execution_policy.h>
#include <thrust/functional.h>
#include <thrust/inner_product.h>

#include <stepvideo/kernels/linear/matmul_plans.cuh>

#include "support/device_bench.cuh"
#include "support/matmul_search.hpp"
#include "support/timing.cuh"

namespace stepvideo::bench {
namespace {

/// What a search spends on a shape: operations of a look, how many it looks at more closely, and rounds of
/// the finalists. A look of 1e12 operations takes 1.4 ms of an H200's bf16 and orders algorithms as the
/// whole does but for a few percent, which is why that many stay.
constexpr double first_look_flops = 1e12, least_look_ms = 0.5;
constexpr std::size_t contenders = 6, finalists = 6;
constexpr int rounds = 9;
/// Slower than the best by more than this on its first run: not run again.
constexpr double hopeless = 1.5;
/// A gain that a search would not find again.
constexpr double least_gain = 0.003;

index_t bytes_of(MatmulElement element) {
  return element == MatmulElement::fp32 ? 4 : 2;
}

/// body(T{}) for the type of an element.
template <class Body>
auto with_element(MatmulElement element, Body&& body) {
  switch (element) {
    case MatmulElement::bf16:
      return body(bf16{});
    case MatmulElement::fp16:
      return body(fp16{});
    default:
      return body(float{});
  }
}

struct Distance {
  template <class T>
  __host__ __device__ float operator()(const T& a, const T& b) const {
    const float distance = fabsf(float(a) - float(b));
    return distance <= 1e30f ? distance : 1e30f;  // NaN is far from everything
  }
};

/// Operands, and two results to compare.
class Trial {
 public:
  explicit Trial(const MatmulShape& shape)
      : shape_(shape),
        in_(operand(shape.element, shape.rows * shape.depth, 1)),
        weight_(operand(shape.element, shape.columns * shape.depth,
                        1 / std::sqrt(static_cast<float>(shape.depth)))),
        bias_(operand(shape.result, shape.columns, 1)),
        residual_(operand(shape.result, shape.rows * shape.columns, 1)),
        results_{Memory(result_bytes()), Memory(result_bytes())} {}

  /// The rows [first, first + rows) of a call that writes result `which`.
  MatmulCall call(index_t first, index_t rows, int which = 0) const {
    const index_t bytes = bytes_of(shape_.element), result_row = shape_.columns * bytes_of(shape_.result);
    return {.shape = shape_,
            .rows = rows,
            .in = in_.data() + first * shape_.depth * bytes,
            .weight = weight_.data(),
            .bias = bias_.data(),
            .residual = residual_.data() + first * result_row,
            .out = results_[which].data() + first * result_row,
            .in_stride = shape_.depth,
            .weight_stride = shape_.depth,
            .residual_stride = shape_.columns,
            .out_stride = shape_.columns};
  }

  /// Milliseconds of one of `runs` calls; nothing where the library does not take the algorithm, which may
  /// show in its answer to the call alone.
  std::optional<double> time(const MatmulAlgorithm& algorithm, index_t rows, int runs = 1) {
    return time(runs, [&] { return plans_.multiply_with(algorithm, call(0, rows)); });
  }
  /// The same of the library's first proposal.
  double time_first(index_t rows, int runs = 1) {
    const auto milliseconds = time(runs, [&] { return plans_.multiply(call(0, rows)); });
    if (!milliseconds)
      throw Error("bench linear: cuBLASLt does not take the algorithm that it proposes first");
    return *milliseconds;
  }

  /// Writes a result in shares that end at the given rows.
  void write(const MatmulAlgorithm& algorithm, std::initializer_list<index_t> ends, int which) {
    check(cudaMemsetAsync(results_[which].data(), 0xFF, results_[which].size_bytes()));
    index_t first = 0;
    for (const index_t end : ends) {
      if (end > first) plans_.multiply_with(algorithm, call(first, end - first, which));
      first = std::max(first, end);
    }
  }
  bool results_are_equal() const {
    const auto* a = reinterpret_cast<const std::uint16_t*>(results_[0].data());
    const auto* b = reinterpret_cast<const std::uint16_t*>(results_[1].data());
    return thrust::equal(thrust::device, a, a + results_[0].size() / 2, b);
  }
  double largest_distance() const {
    return with_element(shape_.result, [&]<class T>(T) {
      const auto* a = reinterpret_cast<const T*>(results_[0].data());
      const auto* b = reinterpret_cast<const T*>(results_[1].data());
      return double(thrust::inner_product(thrust::device, a, a + shape_.rows * shape_.columns, b, 0.0f,
                                          thrust::maximum<float>(), Distance{}));
    });
  }
  /// Whether the algorithm's bits hold whatever a call's rows are, and its values are the first proposal's.
  bool is_sound(const MatmulAlgorithm& algorithm) try {
    const index_t rows = shape_.rows, third = rows / 3 + 1, next = std::min(rows, third + 128);
    write(algorithm, {rows}, 0);
    write(algorithm, {rows}, 1);
    if (!results_are_equal()) return false;
    write(algorithm, {std::min<index_t>(rows, 1), third, next, rows}, 1);
    if (!results_are_equal()) return false;
    plans_.multiply(call(0, rows, 1));
    // Results are normal, up to 6 or, with a residual, 8: two roundings of the element at that size.
    const double unit = shape_.result == MatmulElement::fp32
                            ? 0x1p-14
                            : (shape_.result == MatmulElement::fp16 ? 0x1p-11 : 0x1p-8);
    return largest_distance() <= 2 * 8 * unit;
  } catch (const Error&) {  // the library does not take it for some number of rows
    check(cudaDeviceSynchronize());
    return false;
  }
  MatmulPlans& plans() { return plans_; }

 private:
  template <class Multiply>
  static std::optional<double> time(int runs, Multiply&& multiply) try {
    const Event begin, end;
    begin.record();
    for (int run = 0; run < runs; ++run)
      if (!multiply()) return {};
    end.record();
    return end.since(begin) / runs;
  } catch (const Error&) {
    check(cudaDeviceSynchronize());  // what broke the GPU itself ends the search
    return {};
  }

  using Memory = Buffer<std::byte, Device>;
  index_t result_bytes() const { return shape_.rows * shape_.columns * bytes_of(shape_.result); }
  static Memory operand(MatmulElement element, index_t size, float deviation) {
    static std::uint64_t seed = 1000;
    Memory memory(size * bytes_of(element));
    with_element(element, [&]<class T>(T) {
      fill_normal(device, ++seed, 0, deviation, VectorView<T>{reinterpret_cast<T*>(memory.data()), size});
    });
    return memory;
  }

  MatmulShape shape_;
  MatmulPlans plans_{device, {}, {.products_bytes = 0}};
  Memory in_, weight_, bias_, residual_, results_[2];
};

struct Timed {
  MatmulAlgorithm algorithm;
  double milliseconds;
};

/// The same algorithm over other clusters of blocks, in the other order of the grid, and with other options
/// of its own.
std::vector<MatmulAlgorithm> neighbours(const MatmulAlgorithm& algorithm) {
  std::vector<MatmulAlgorithm> found;
  for (std::uint16_t cluster = CUBLASLT_CLUSTER_SHAPE_1x1x1; cluster <= CUBLASLT_CLUSTER_SHAPE_4x4x1;
       ++cluster)
    for (std::uint32_t swizzle = 0; swizzle <= 1; ++swizzle)
      for (std::uint32_t option = 0; option <= 2; ++option) {
        auto neighbour = algorithm;
        neighbour.cluster_shape = cluster, neighbour.swizzle = swizzle, neighbour.custom_option = option;
        if (neighbour != algorithm) found.push_back(neighbour);
      }
  return found;
}

using Clock = std::chrono::steady_clock;

/// Looks at each on a share of the rows, as many as there is time for, keeps `count` in order.
void look(Trial& trial, const std::vector<MatmulAlgorithm>& algorithms, index_t rows, int runs,
          Clock::time_point deadline, std::size_t count, std::vector<Timed>& best) {
  for (const auto& algorithm : algorithms) {
    if (!best.empty() && Clock::now() > deadline) return;
    if (std::ranges::find(best, algorithm, &Timed::algorithm) != best.end()) continue;
    if (!trial.time(algorithm, rows)) continue;  // its code is loaded by this one
    const double bound =
        best.empty() ? std::numeric_limits<double>::infinity() : hopeless * best.front().milliseconds;
    const auto once = trial.time(algorithm, rows);
    if (!once) continue;
    best.push_back({algorithm, *once > bound ? *once : trial.time(algorithm, rows, runs).value_or(*once)});
    std::ranges::stable_sort(best, {}, &Timed::milliseconds);
    if (best.size() > count) best.pop_back();
  }
}

std::optional<SearchedMatmul> search(const MatmulShape& shape, const SearchEffort& effort,
                                     std::FILE* output) {
  Trial trial(shape);
  const auto whole = trial.call(0, shape.rows);
  const auto all = effort.is_thorough ? trial.plans().candidates(whole) : trial.plans().proposed(whole);
  if (all.empty()) return {};
  const double flops_a_row = 2.0 * static_cast<double>(shape.columns) * static_cast<double>(shape.depth);
  const auto look_rows =
      std::min(shape.rows, (static_cast<index_t>(first_look_flops / flops_a_row) / 128 + 8) * 128);
  trial.time_first(look_rows);
  const auto runs_of = [&](index_t rows) {
    return static_cast<int>(std::clamp(std::ceil(least_look_ms / trial.time_first(rows)), 1.0, 100.0));
  };
  const auto begin = Clock::now();
  const auto after = [&](double share) {  // of the time that there is
    const std::chrono::duration<double> time(share * effort.seconds_a_shape);
    return effort.is_thorough ? Clock::time_point::max()
                              : begin + std::chrono::duration_cast<Clock::duration>(time);
  };
  std::vector<Timed> best;
  look(trial, all, look_rows, runs_of(look_rows), after(0.6), contenders, best);
  std::vector<MatmulAlgorithm> nearby;
  for (const auto& contender : best)
    for (const auto& neighbour : neighbours(contender.algorithm)) nearby.push_back(neighbour);
  look(trial, nearby, look_rows, runs_of(look_rows), after(1), finalists, best);

  std::vector<std::vector<double>> times(best.size());
  std::vector<double> first_times;
  const int runs = runs_of(shape.rows);
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    const double first_time = trial.time_first(shape.rows, runs);
    if (round >= 0) first_times.push_back(first_time);
    for (std::size_t i = 0; i < best.size(); ++i) {
      const auto time = trial.time(best[i].algorithm, shape.rows, runs);
      if (round >= 0) times[i].push_back(time.value_or(std::numeric_limits<double>::infinity()));
    }
  }
  std::ranges::sort(first_times);
  const double first_milliseconds = median(first_times);
  for (std::size_t i = 0; i < best.size(); ++i) {
    std::ranges::sort(times[i]);
    best[i].milliseconds = median(times[i]);
  }
  // What is not faster beyond doubt stands behind the first proposal.
  std::ranges::stable_sort(best, {}, [&](const Timed& timed) {
    return timed.milliseconds * (timed.algorithm == all.front() ? 1 - least_gain : 1);
  });

  const auto sound =
      std::ranges::find_if(best, [&](const Timed& timed) { return trial.is_sound(timed.algorithm); });
  std::fprintf(output, "%6td x %5td x %5td %s to %s, %-13s %5zu algorithms", shape.rows, shape.columns,
               shape.depth, to_string(shape.element), to_string(shape.result), to_string(shape.epilogue),
               all.size());
  const bool is_worth_it =
      sound != best.end() && sound->milliseconds <= (1 + least_gain) * first_milliseconds;
  if (is_worth_it) {
    std::fprintf(
        output, "%9.3f ms %6.1f TFLOP/s, the first proposal %9.3f ms; %td faster ones are not sound\n",
        sound->milliseconds, 1e-9 * flops_a_row * static_cast<double>(shape.rows) / sound->milliseconds,
        first_milliseconds, sound - best.begin());
  } else {
    std::fprintf(output, "; none is sound and as fast as the first proposal, %.3f ms\n", first_milliseconds);
  }
  std::fflush(output);
  if (!is_worth_it) return {};
  return SearchedMatmul{shape, sound->algorithm, sound->milliseconds, first_milliseconds};
}

}  // namespace

std::string matmul_device_name() {
  int current = 0;
  cudaDeviceProp properties{};
  check(cudaGetDevice(&current));
  check(cudaGetDeviceProperties(&properties, current));
  return properties.name;
}

MatmulPlatform matmul_platform() {
  return MatmulPlans(device, {}, {.workspace_bytes = 0, .products_bytes = 0}).platform();
}

std::vector<MatmulShape> release_matmuls(MatmulElement element) {
  constexpr index_t tokens = 75'888, width = 6144, llm_tokens = 320, clip_tokens = 77;
  constexpr index_t keys = clip_tokens + llm_tokens, llm_rows = 2 * llm_tokens, clip_rows = 2 * clip_tokens;
  constexpr index_t clip_width = 1024, llm_packed = width + 2 * 8 * 128, llm_hidden = 16'896;
  constexpr auto fp32 = MatmulElement::fp32;
  using enum MatmulEpilogue;
  // GELU in float32 is a pass of ours after a product that is stored.
  const auto gelu_or_store = element == fp32 ? store : gelu;
  const auto bias_gelu_or_store = element == fp32 ? store : bias_gelu;
  return {
      {tokens, 3 * width, width, element, element, store},               // queries, keys, values
      {tokens, width, width, element, element, store},                   // attention's projections
      {tokens, 4 * width, width, element, element, gelu_or_store},       // feed forward in
      {tokens, width, 4 * width, element, element, store},               // feed forward out
      {tokens, width, 64, element, fp32, bias},                          // patches
      {tokens, 64, width, element, fp32, bias},                          // velocity
      {llm_tokens, width, width, element, element, bias_gelu_or_store},  // caption in
      {llm_tokens, width, width, element, element, bias},                // caption out
      {clip_tokens, width, clip_width, element, element, bias},          // CLIP's projection
      {keys, 2 * width, width, element, element, store},                 // keys and values of the text
      {1, width, 256, fp32, fp32, store},                                // time in; SiLU is a pass of ours
      {1, width, width, fp32, fp32, bias},                               // time out
      {1, 6 * width, width, fp32, fp32, bias},                           // modulations
      {llm_rows, llm_packed, width, element, element, store},            // Step-LLM: queries, keys, values
      {llm_rows, width, width, element, element, residual},              // attention's projection
      {llm_rows, 2 * llm_hidden, width, element, fp32, store},           // feed forward in; SwiGLU is ours
      {llm_rows, width, llm_hidden, element, element, residual},         // feed forward out
      {clip_rows, clip_width, clip_width, fp32, fp32, bias},             // CLIP: queries, keys, values
      {clip_rows, clip_width, clip_width, fp32, fp32, bias_residual},    // attention's projection
      {clip_rows, 4 * clip_width, clip_width, fp32, fp32, store},        // feed forward in; erf GELU is ours
      {clip_rows, clip_width, 4 * clip_width, fp32, fp32, bias_residual},  // feed forward out
  };
}

std::vector<SearchedMatmul> search_matmuls(const std::vector<MatmulShape>& shapes, const SearchEffort& effort,
                                           std::FILE* output) {
  std::vector<SearchedMatmul> found;
  for (const auto& shape : shapes)
    if (const auto searched = search(shape, effort, output)) found.push_back(*searched);
  return found;
}

}  // namespace stepvideo::bench
