// Attention's cases carried to the GPU and back.
#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/mask.hpp>

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

}  // namespace stepvideo::testing
