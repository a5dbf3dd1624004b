// The softmax of scores that are in memory, where each query sees itself and the tokens before it: for heads
// too wide for the fused kernels, between two matrix products.
#pragma once
#include <cmath>
#include <cuda/std/functional>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/exp2.cuh>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// A block has a row. It reads the scores twice; the rows of all blocks at work stay in the L2 cache between,
/// up to some 40,000 keys on an H200.
template <class T>
struct CausalSoftmaxPolicy {
  using Element = T;
  static constexpr int threads = 1024, vector = 4;
};

template <class T>
struct CausalSoftmaxParams {
  MatrixView<const float> scores;
  MatrixView<T> weights;
  index_t first_query;
  float scale_log2;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    causal_softmax_kernel(CausalSoftmaxParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  constexpr int vector = Policy::vector, step = Policy::threads * vector;
  using Reduce = BlockAllReduce<Policy::threads>;
  __shared__ typename Reduce::Storage storage;
  Reduce reduce(storage);
  const float* scores = params.scores.row(blockIdx.x);
  T* weights = params.weights.row(blockIdx.x);
  const index_t seen = params.first_query + blockIdx.x + 1, columns = params.weights.columns;
  const index_t begin = index_t{threadIdx.x} * vector;
  // values[i] in units of log2 for the keys that are seen, minus infinity for the others
  const auto load = [&](index_t first, float(&values)[vector]) {
    widen_pack(load_pack<vector>(scores + first), values);
#pragma unroll
    for (int i = 0; i < vector; ++i) values[i] = first + i < seen ? values[i] * params.scale_log2 : -INFINITY;
  };

  float most = -INFINITY, sum = 0;
  for (index_t first = begin; first < seen; first += step) {
    float values[vector];
    load(first, values);
    float larger = most;
#pragma unroll
    for (const float value : values) larger = fmaxf(larger, value);
    sum *= exp2_approximately(most - larger);  // a row's first values are seen: never infinity less infinity
    most = larger;
#pragma unroll
    for (const float value : values) sum += exp2_approximately(value - most);
  }
  float total_most[1] = {most};
  reduce(total_most, [](float a, float b) { return fmaxf(a, b); });
  float total[1] = {most == -INFINITY ? 0 : sum * exp2_approximately(most - total_most[0])};
  reduce(total, cuda::std::plus<>{});
  const float share = 1 / total[0];
  for (index_t first = begin; first < columns; first += step) {
    float values[vector] = {};
    if (first < seen) {
      load(first, values);
#pragma unroll
      for (float& value : values) value = exp2_approximately(value - total_most[0]) * share;
    }
    store_pack(weights + first, round_pack<T>(values));
  }
}

/// weights[q, k] = softmax over the keys k <= first_query + q of scale scores[q, k], and 0 behind them.
/// `scores` and `weights` have a row for each query of a band and the same columns, a multiple of 4, which
/// reach the last query's own key; rows are aligned to 16 bytes. What scores hold behind a query's own key is
/// not looked at. Runs on device.stream. Throws RequestError where shapes or alignment disagree.
template <Element T>
void causal_softmax(Device device, MatrixView<const float> scores, index_t first_query, float scale,
                    MatrixView<T> weights) {
  using Policy = CausalSoftmaxPolicy<T>;
  constexpr const char* kernel = "causal_softmax";
  require(scores.rows == weights.rows && scores.columns == weights.columns && first_query >= 0 &&
              scores.columns >= first_query + scores.rows && scores.columns % Policy::vector == 0,
          [&] {
            return std::string(kernel) + ": scores are " + shape_text(scores) + " and weights " +
                   shape_text(weights) + " for queries from " + std::to_string(first_query) +
                   " on; both must be equal, with columns that are a multiple of 4 and reach the last query";
          });
  if (scores.rows == 0) return;
  require(
      packs_fit<Policy::vector>(scores.data, scores.row_stride) &&
          packs_fit<Policy::vector>(weights.data, weights.row_stride),
      [&] { return std::string(kernel) + ": rows of scores and weights must begin at whole packs of 4"; });
  constexpr float log2_e = 1.44269504088896340736f;
  launch({.grid = grid_blocks(kernel, scores.rows), .block = Policy::threads, .stream = device.stream},
         causal_softmax_kernel<Policy>, CausalSoftmaxParams<T>{scores, weights, first_query, scale * log2_e});
}

}  // namespace stepvideo
