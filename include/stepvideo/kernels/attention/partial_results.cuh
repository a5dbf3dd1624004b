// Where attention leaves float32 results that are to be merged with those of other keys.
#pragma once
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// (batch, tokens, heads, dim), written from the registers of the accumulators: their rows leave in sectors
/// of 32 bytes, so that nothing is gained by way of shared memory.
struct PartialResults {
  HeadsView<float> view;
  bool has_pairs = false;  ///< two neighbours may be written at once

  static PartialResults of(HeadsView<float> view) {
    return {view, packs_fit<2>(view.data, view.batch_stride, view.token_stride, view.head_stride)};
  }

  /// Two neighbouring channels of a row.
  __device__ void store(float* row, int channel, float first, float second) const {
    if (has_pairs) {
      *reinterpret_cast<float2*>(row + channel) = {first, second};
    } else {
      row[channel] = first, row[channel + 1] = second;
    }
  }
};

}  // namespace stepvideo
