// The attention of the VAE's middle on a GPU.
#pragma once
#include <algorithm>
#include <cmath>

#include <stepvideo/kernels/attention/causal_softmax.cuh>
#include <stepvideo/kernels/elementwise/transpose.cuh>
#include <stepvideo/kernels/linear/linear.cuh>

#include "model/causal_attention.hpp"
#include "model/causal_attention_bands.hpp"

namespace stepvideo::model::vae {

/// See the host's. `workspace` is CausalAttentionBands'.
template <Element T>
void attend_causally(const Run<Device>& run, MatrixView<const T> queries, MatrixView<const T> keys,
                     MatrixView<const T> values, MatrixView<T> out, Workspace workspace) {
  const index_t tokens = queries.rows, channels = queries.columns;
  const CausalAttentionBands bands(tokens, channels);
  const index_t padded = bands.padded_tokens();
  float* const scores = workspace.take<float>(bands.band_tokens() * padded);
  T* const weights = workspace.take<T>(bands.band_tokens() * padded);
  const auto values_across = MatrixView<T>::dense(workspace.take<T>(channels * padded), channels, padded);
  transpose<T>(run.execution, values, values_across);
  const auto rows_of = []<class U>(MatrixView<U> view, index_t first, index_t count) {
    return MatrixView<U>{view.row(first), count, view.columns, view.row_stride};
  };
  for (index_t first = 0; first < tokens; first += bands.band_tokens()) {
    const index_t count = std::min(bands.band_tokens(), tokens - first), seen = first + count;
    const index_t columns = std::min(padded, (seen + bands.granule - 1) / bands.granule * bands.granule);
    linear(run.execution, rows_of(queries, first, count), rows_of(keys, 0, seen), Store{},
           MatrixView<float>{scores, count, seen, padded});
    causal_softmax(run.execution, MatrixView<const float>{scores, count, columns, padded}, first,
                   1 / std::sqrt(static_cast<float>(channels)),
                   MatrixView<T>{weights, count, columns, padded});
    linear(run.execution, MatrixView<const T>{weights, count, columns, padded},
           MatrixView<const T>{values_across.data, channels, columns, padded}, Store{},
           rows_of(out, first, count));
  }
}

}  // namespace stepvideo::model::vae
