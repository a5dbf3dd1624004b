// The cases of rms_norm, for any execution: `run` takes a packed input, the same way in and out of memory.
#pragma once
#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "oracle/rms_norm.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

/// Part `part` of a packed, per-head interleaved projection (batch, tokens, heads, parts, dim).
template <class T>
HeadsView<T> packed_part(T* data, index_t batch, index_t tokens, index_t heads, index_t parts, index_t part,
                         index_t dim) {
  const index_t width = heads * parts * dim;
  return {data + part * dim, batch, tokens, heads, dim, tokens * width, width, parts * dim};
}

/// `run(in, weight, epsilon, out)` applies rms_norm to host buffers, in whatever memory it likes.
template <class T, class Run>
void rms_norm_agrees_with_its_oracle_on_ragged_shapes(Run&& run, double bound) {
  std::mt19937 engine(17);
  for (int trial = 0; trial < 60; ++trial) {
    const index_t batch = random_int(engine, 1, 3), tokens = random_int(engine, 1, 70);
    const index_t heads = random_int(engine, 1, 5), parts = random_int(engine, 1, 3);
    const index_t dims[] = {1, 7, 64, 128, 129, 256, 1000};
    const index_t dim = dims[random_int(engine, 0, 6)];
    const index_t size = batch * tokens * heads * parts * dim, part = random_int(engine, 0, int(parts) - 1);
    const auto in = random_normal<T>(size, engine, 3.0f);
    const auto weight = random_normal<T>(dim, engine);
    const auto out = poisoned<T>(batch * tokens * heads * dim);

    run(in, packed_part<const T>(in.data(), batch, tokens, heads, parts, part, dim), weight, out,
        HeadsView<T>::dense(out.data(), batch, tokens, heads, dim));
    const auto expected = oracle::rms_norm<T>(
        packed_part<const T>(in.data(), batch, tokens, heads, parts, part, dim), weight.data(), 1e-6);
    STEPVIDEO_CHECK_CLOSE(out, expected, bound);
  }
}

}  // namespace stepvideo::testing
