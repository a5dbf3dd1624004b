// What fits a grid of the GPU: its second and third extents are short, and threads count a row in 32 bits.
#pragma once
#include <algorithm>
#include <limits>
#include <string>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// Blocks that a grid has at most in x; in y and in z.
inline constexpr index_t longest_grid = std::numeric_limits<int>::max(), longest_grid_run = 65'535;

/// `count` as a grid's first extent. Throws RequestError where it is too many.
inline unsigned grid_blocks(const char* kernel, index_t count, index_t most = longest_grid) {
  require(count <= most, [&] {
    return std::string(kernel) + ": " + std::to_string(count) + " blocks do not fit a grid of " +
           std::to_string(most) + "; split the call";
  });
  return static_cast<unsigned>(count);
}
/// As its second.
inline unsigned short_grid_blocks(const char* kernel, index_t count) {
  return grid_blocks(kernel, count, longest_grid_run);
}

/// The channels of a row, which leave room to count past its end. Throws RequestError where they are too
/// many.
inline int row_channels(const char* kernel, index_t width) {
  constexpr index_t most = index_t{1} << 30;
  require(width <= most, [&] {
    return std::string(kernel) + ": rows of " + std::to_string(width) + " channels are not built; up to " +
           std::to_string(most) + " are";
  });
  return static_cast<int>(width);
}

/// Calls body(first, count) for runs that cover [0, extent) in order, each short enough for a grid's second
/// or third extent: almost always one. Nothing is called for an extent of 0.
template <class Body>
void for_each_grid_run(index_t extent, Body&& body, index_t longest = longest_grid_run) {
  for (index_t first = 0; first < extent; first += longest)
    body(first, static_cast<unsigned>(std::min(longest, extent - first)));
}

/// A view's batch elements from `first` on, or a matrix's rows: what a run sees, so that kernels count from
/// zero (with `first` added in the kernel, LayerNorm's took 3 % more instructions). What has no data keeps
/// none.
template <class View>
View from_batch(View view, index_t first) {
  if (view.data == nullptr) return view;
  if constexpr (requires { view.row_stride; }) {
    view.data += first * view.row_stride;
  } else {
    view.data += first * view.batch_stride;
  }
  return view;
}
inline ScaledTokensView from_batch(const ScaledTokensView& rows, index_t first) {
  const auto& [values, scales] = rows;
  const index_t before = first * values.tokens;
  return {from_batch(values, first), {scales.data + before, scales.size - before}};
}
template <class T>
QuantizedHeads<T> from_batch(const QuantizedHeads<T>& heads, index_t first) {
  return {from_batch(heads.values, first), from_batch(heads.scales, first)};
}

}  // namespace stepvideo
