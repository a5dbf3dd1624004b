// Tables of 3D rotary embedding in a GPU's memory.
#pragma once
#include <stepvideo/core/check.cuh>
#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/rope/rope_table.hpp>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<MakeRopeTable, Device> = true;
}  // namespace calls

/// See the host's make_rope_table_in. Allocates nothing and waits for nothing: the table is made in
/// `staging`, as many bytes of the host's memory, and copied to `workspace` in the stream's order. `staging`
/// must stay as it is until the stream has come so far; unless it is pinned (core/pinned.cuh) the copy may
/// wait for the stream.
template <Element T>
RopeTableView make_rope_table_in(Device device, Workspace workspace, Workspace staging, LatentShape shape,
                                 RopeSplit split, RopeAngles angles = RopeAngles::exact) {
  const index_t count = 2 * rope_detail::angle_count(shape, split);
  auto* values = workspace.take<float>(count);
  auto* staged = staging.take<float>(count);
  rope_detail::fill_angles(shape, split, rope_detail::rounding_of<T>(angles), staged);
  check(cudaMemcpyAsync(values, staged, static_cast<std::size_t>(count) * sizeof(float),
                        cudaMemcpyHostToDevice, device.stream));
  return rope_detail::view_angles(shape, split, values);
}

}  // namespace stepvideo
