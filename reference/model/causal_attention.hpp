// The attention of the VAE's middle: one wide head in which each token sees itself and those before it.
#pragma once
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/attention/attention.hpp>

#include "model/vae_run.hpp"

namespace stepvideo::model::vae {

/// (tokens, channels) each, with any distance between tokens; `out` must not overlap the others. A GPU's is
/// in causal_attention.cuh and works in CausalAttentionBands' workspace.
template <Element T>
void attend_causally(const Run<Host>& run, MatrixView<const T> queries, MatrixView<const T> keys,
                     MatrixView<const T> values, MatrixView<T> out, Workspace = {}) {
  const auto one_head = []<class U>(MatrixView<U> rows) {
    return HeadsView<U>{rows.data, 1, rows.rows, 1, rows.columns, 0, rows.row_stride, rows.columns};
  };
  attention(run.execution, one_head(queries), one_head(keys), one_head(values), CausalMask{}, one_head(out),
            {});
}

}  // namespace stepvideo::model::vae
