// Bulk copies of tiles between global and shared memory (the tensor memory accelerator).
#pragma once
#include <cstdint>
#include <cuda/ptx>
#include <string>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/barrier.cuh>

namespace stepvideo {

template <Element T>
inline constexpr CUtensorMapDataType tensor_map_type = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
template <>
inline constexpr CUtensorMapDataType tensor_map_type<bf16> = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
template <>
inline constexpr CUtensorMapDataType tensor_map_type<fp16> = CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
template <>
inline constexpr CUtensorMapDataType tensor_map_type<fp8_e4m3> = CU_TENSOR_MAP_DATA_TYPE_UINT8;

/// cuTensorMapEncodeTiled, found through the runtime so that nothing links the driver's library.
inline auto tensor_map_encoder() {
  static const auto encode = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found));
    if (entry == nullptr)
      throw Error("the CUDA driver has no cuTensorMapEncodeTiled; it is of CUDA 12.0 or newer");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  }();
  return encode;
}

/// A tensor of `rank` extents, fastest first, as bulk copies see it: the strides of all but the first in
/// bytes, the box that one copy moves, and every how many elements along each extent it takes one (the box
/// counts those it takes). A box's rows, of 128 bytes, lie in shared memory in the 128-byte swizzle. Reads
/// outside the tensor give zeros, writes outside are dropped. Throws Error where CUDA refuses it, saying
/// `what` it was.
template <class T, int rank>
CUtensorMap tensor_map(T* data, const index_t (&extents)[rank], const index_t (&stride_bytes)[rank - 1],
                       const int (&box)[rank], const int (&steps)[rank], const std::string& what) {
  using Value = std::remove_const_t<T>;
  cuuint64_t sizes[rank], strides[rank - 1];
  cuuint32_t counts[rank], increments[rank];
  for (int i = 0; i < rank; ++i) {
    sizes[i] = static_cast<cuuint64_t>(extents[i]);
    counts[i] = static_cast<cuuint32_t>(box[i] * steps[i]), increments[i] = static_cast<cuuint32_t>(steps[i]);
    if (i > 0) strides[i - 1] = static_cast<cuuint64_t>(extents[i] > 1 ? stride_bytes[i - 1] : 16);
  }
  CUtensorMap map{};
  const CUresult status =
      tensor_map_encoder()(&map, tensor_map_type<Value>, rank, const_cast<Value*>(data), sizes, strides,
                           counts, increments, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    throw Error("CUDA refused a tensor map of " + what + " (code " +
                std::to_string(static_cast<int>(status)) + ")");
  return map;
}

/// Coordinates are (channel, token, head, batch); a box is `box_tokens` tokens of 128 bytes of channels.
/// Throws Error where CUDA refuses the view (see bulk_misalignment).
template <class T>
CUtensorMap tensor_map(HeadsView<T> view, int box_tokens) {
  constexpr index_t size = sizeof(T);
  return tensor_map(view.data, {view.dim, view.tokens, view.heads, view.batch},
                    {view.token_stride * size, view.head_stride * size, view.batch_stride * size},
                    {128 / static_cast<int>(size), box_tokens, 1, 1}, {1, 1, 1, 1},
                    std::to_string(view.tokens) + " tokens, " + std::to_string(view.heads) + " heads of " +
                        std::to_string(view.dim));
}

/// Where a box starts.
struct BoxOrigin {
  int channel, token, head, batch;
};

/// Starts the copy of a box to shared memory from these coordinates on, fastest first; `arrived` counts its
/// bytes. One thread calls it.
template <std::size_t rank>
__device__ void load_box(const CUtensorMap& map, const std::int32_t (&from)[rank], void* to,
                         SharedBarrier& arrived) {
  cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_cluster, cuda::ptx::space_global, to, &map, from,
                                  &arrived.state);
}
__device__ inline void load_box(const CUtensorMap& map, BoxOrigin from, void* to, SharedBarrier& arrived) {
  load_box(map, {from.channel, from.token, from.head, from.batch}, to, arrived);
}

/// Starts the copy of a box from shared memory; publish_shared_writes and a barrier come before, store_commit
/// and store_wait_read after. One thread calls it.
__device__ inline void store_box(const CUtensorMap& map, BoxOrigin to, const void* from) {
  cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_global, cuda::ptx::space_shared, &map,
                                  {to.channel, to.token, to.head, to.batch}, from);
}
__device__ inline void store_commit() {
  cuda::ptx::cp_async_bulk_commit_group();
}
/// Waits until the stores have read their shared memory.
__device__ inline void store_wait_read() {
  cuda::ptx::cp_async_bulk_wait_group_read(cuda::ptx::n32_t<0>{});
}

}  // namespace stepvideo
