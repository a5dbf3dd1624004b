// A grid's second and third extents are short: what may be longer is launched in runs.
#pragma once
#include <algorithm>

#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// Blocks that a grid has at most in y, and in z.
inline constexpr index_t longest_grid_run = 65'535;

/// Calls body(first, count) for runs that cover [0, extent) in order, one grid each: almost always one, so
/// that a kernel pays no more than the addition of `first`. Nothing is called for an extent of 0.
template <class Body>
void for_each_grid_run(index_t extent, Body&& body) {
  for (index_t first = 0; first < extent; first += longest_grid_run)
    body(first, static_cast<unsigned>(std::min(longest_grid_run, extent - first)));
}

}  // namespace stepvideo
