// Attention's cases carried to the GPU and back.
#pragma once
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/tile/alignment.hpp>

#include "kernels/attention/attention_cases.hpp"
#include "support/device.cuh"

namespace stepvideo::testing {

/// A host tensor's copy on the device, at the same place of its storage.
template <class T>
struct CarriedHeads {
  Buffer<T, Device> storage;
  HeadsView<T> view;

  explicit CarriedHeads(const StoredHeads<T>& heads) : storage(to_device(heads.storage)), view(heads.view) {
    view.data = storage.data() + (heads.view.data - heads.storage.data());
  }
  void bring_back(const StoredHeads<T>& heads) const {
    copy(device, storage, heads.storage);
    synchronize(device);
  }
};

/// A mask with its arrays on the device.
template <class Mask>
struct CarriedMask {
  Mask mask;
};
template <>
struct CarriedMask<KeyPrefixMask> {
  Buffer<index_t, Device> lengths;
  KeyPrefixMask mask;

  explicit CarriedMask(const KeyPrefixMask& host_mask) : lengths(device, host_mask.lengths.size) {
    check(cudaMemcpy(lengths.data(), host_mask.lengths.data, lengths.size_bytes(), cudaMemcpyDefault));
    mask = {{lengths.data(), lengths.size()}};
  }
};
template <>
struct CarriedMask<SqrtAlibiMask> {
  Buffer<float, Device> slopes;
  SqrtAlibiMask mask;

  explicit CarriedMask(const SqrtAlibiMask& host_mask) : slopes(device, host_mask.slopes.size) {
    check(cudaMemcpy(slopes.data(), host_mask.slopes.data, slopes.size_bytes(), cudaMemcpyDefault));
    mask = {{slopes.data(), slopes.size()}};
  }
};

template <>
struct CarriedMask<PackedMask> {
  Buffer<std::int32_t, Device> query_starts, key_starts;
  PackedMask mask;

  explicit CarriedMask(const PackedMask& host_mask)
      : query_starts(device, host_mask.query_starts.size),
        key_starts(device, host_mask.key_starts.size),
        mask(host_mask) {
    const auto carry = [](const auto& from, Buffer<std::int32_t, Device>& to) {
      check(cudaMemcpy(to.data(), from.data, to.size_bytes(), cudaMemcpyDefault));
      return VectorView<const std::int32_t>{to.data(), to.size()};
    };
    mask.query_starts = carry(host_mask.query_starts, query_starts);
    mask.key_starts = carry(host_mask.key_starts, key_starts);
  }
};

/// `Kernel{}(device, queries, keys, values, mask, out, options)` as the cases call it.
template <class Kernel>
struct OnDevice {
  template <class T, class Mask>
  void operator()(const AttentionProblem<T>& problem, const Mask& mask) const {
    const CarriedHeads queries(problem.queries), keys(problem.keys), values(problem.values), out(problem.out);
    const CarriedHeads log_sum_exp(problem.log_sum_exp);
    const CarriedMask<Mask> carried(mask);
    Kernel{}(device, queries.view, keys.view, values.view, carried.mask, out.view,
             AttentionOptions{.scale = problem.scale, .log_sum_exp = log_sum_exp.view});
    out.bring_back(problem.out);
    log_sum_exp.bring_back(problem.log_sum_exp);
  }
};

/// A kernel and the element it is tested with.
template <class Kernel_, class T>
struct Subject {
  using Kernel = Kernel_;
  using Element = T;
  static constexpr OnDevice<Kernel> on_device{};
};

/// The bits of fifty runs, each over a poisoned output.
template <class Kernel, class T, class Mask>
void fifty_runs_give_the_same_bits(const Mask& mask) {
  std::mt19937 engine(4);
  const AttentionProblem<T> problem(
      engine, {.batch = 1, .queries = 1000, .keys = 777, .heads = 4, .groups = 2, .dim = 128});
  const auto bits = [&] {
    std::vector<std::uint32_t> result;
    for_each_element(problem.out.view,
                     [&](index_t, T value) { result.push_back(std::bit_cast<std::uint32_t>(float(value))); });
    return result;
  };
  std::vector<std::uint32_t> first;
  for (int run = 0; run < 50; ++run) {
    for_each_element(problem.out.view, [](index_t, T& value) { value = T(NAN); });
    OnDevice<Kernel>{}(problem, mask);
    if (run == 0)
      first = bits();
    else
      BOOST_REQUIRE(bits() == first);
  }
}

/// Captured on a stream of its own; the graph's two replays see inputs that changed since the capture.
template <class Kernel, class T>
void a_graph_captures_the_call() {
  std::mt19937 engine(5);
  ErrorBudget<T> budget;
  const AttentionProblem<T> problem(engine,
                                    {.queries = 300, .keys = 129, .heads = 2, .groups = 2, .dim = 64});
  const CarriedHeads queries(problem.queries), keys(problem.keys), values(problem.values), out(problem.out);
  const CarriedHeads log_sum_exp(problem.log_sum_exp);
  synchronize(device);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  Kernel{}(Device{stream}, queries.view, keys.view, values.view, FullMask{}, out.view,
           AttentionOptions{.scale = problem.scale, .log_sum_exp = log_sum_exp.view});
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&executable, graph, 0));
  for (int replay = 0; replay < 2; ++replay) {
    for_each_element(problem.queries.view, [&](index_t, T& value) { value = T(float(value) * 0.9f); });
    copy(Device{stream}, problem.queries.storage, queries.storage);
    check(cudaGraphLaunch(executable, stream));
    synchronize(Device{stream});
    out.bring_back(problem.out);
    log_sum_exp.bring_back(problem.log_sum_exp);
    budget.judge(problem, sees_all, no_bias);
  }
  check(cudaGraphExecDestroy(executable));
  check(cudaGraphDestroy(graph));
  check(cudaStreamDestroy(stream));
}

/// More batch elements than a grid has blocks along y and z, in a layout that allows bulk copies and in one
/// that does not.
template <class Kernel, class T>
void a_batch_may_be_larger_than_a_grid_is_wide() {
  std::mt19937 engine(41);
  ErrorBudget<T> budget;
  for (bool tried[2] = {}; !tried[0] || !tried[1];) {
    const AttentionProblem<T> problem(
        engine, {.batch = 70'000, .queries = 1, .keys = 3, .heads = 2, .groups = 1, .dim = 64});
    bool& is_tried = tried[static_cast<bool>(first_of(misalignment("queries", problem.queries.view),
                                                      misalignment("keys", problem.keys.view),
                                                      misalignment("out", problem.out.view)))];
    if (std::exchange(is_tried, true)) continue;
    OnDevice<Kernel>{}(problem, FullMask{});
    budget.judge(problem, sees_all, no_bias);
  }
}

/// Tokens so far apart that their elements are numbered beyond 2^31: the bits are those of dense tokens.
template <class Kernel>
void elements_behind_2_to_the_31_are_reached() {
  constexpr index_t tokens = 20, heads = 2, dim = 64, width = heads * dim, stride = index_t{1} << 27;
  static_assert((tokens - 1) * stride > std::numeric_limits<int>::max());
  std::mt19937 engine(42);
  const auto source = random_normal<bf16>(3 * tokens * width, engine);
  /// The bits of attention over [queries | keys | values | out], whose tokens lie `token_stride` apart.
  const auto attend = [&](index_t token_stride) {
    const Buffer<bf16, Device> memory(device, (tokens - 1) * token_stride + 4 * width);
    const auto part = [&](index_t i) {
      return HeadsView<bf16>{memory.data() + i * width, 1, tokens, heads, dim, 0, token_stride, dim};
    };
    constexpr std::size_t row_bytes = width * sizeof(bf16);
    const std::size_t pitch = static_cast<std::size_t>(token_stride) * sizeof(bf16);
    for (index_t i = 0; i < 3; ++i)
      check(cudaMemcpy2D(part(i).data, pitch, source.data() + i * tokens * width, row_bytes, row_bytes,
                         tokens, cudaMemcpyDefault));
    Kernel{}(device, part(0), part(1), part(2), CausalMask{}, part(3), AttentionOptions{.scale = 0.2f});
    std::vector<std::uint16_t> bits(tokens * width);
    check(cudaMemcpy2D(bits.data(), row_bytes, part(3).data, pitch, row_bytes, tokens, cudaMemcpyDefault));
    return bits;
  };
  BOOST_CHECK(attend(stride) == attend(4 * width));
}

}  // namespace stepvideo::testing
