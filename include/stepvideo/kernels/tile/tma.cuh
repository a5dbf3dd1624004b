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

/// A view as bulk copies see it. Coordinates are (channel, token, head, batch); a box is `box_tokens` tokens
/// of 128 bytes of channels and lies in shared memory in the 128-byte swizzle. Reads outside the view give
/// zeros, writes outside are dropped. Throws Error where CUDA refuses the view (see bulk_misalignment).
template <class T>
CUtensorMap tensor_map(HeadsView<T> view, int box_tokens) {
  using Value = std::remove_const_t<T>;
  const auto stride_bytes = [](index_t stride, index_t extent) {
    return static_cast<cuuint64_t>(extent > 1 ? stride * index_t{sizeof(T)} : 16);
  };
  const cuuint64_t extents[] = {static_cast<cuuint64_t>(view.dim), static_cast<cuuint64_t>(view.tokens),
                                static_cast<cuuint64_t>(view.heads), static_cast<cuuint64_t>(view.batch)};
  const cuuint64_t strides[] = {stride_bytes(view.token_stride, view.tokens),
                                stride_bytes(view.head_stride, view.heads),
                                stride_bytes(view.batch_stride, view.batch)};
  const cuuint32_t box[] = {128 / sizeof(T), static_cast<cuuint32_t>(box_tokens), 1, 1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  CUtensorMap map{};
  const CUresult status =
      tensor_map_encoder()(&map, tensor_map_type<Value>, 4, const_cast<Value*>(view.data), extents, strides,
                           box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    throw Error("CUDA refused a tensor map of " + std::to_string(view.tokens) + " tokens, " +
                std::to_string(view.heads) + " heads of " + std::to_string(view.dim) + " (code " +
                std::to_string(static_cast<int>(status)) + ")");
  return map;
}

/// Where a box starts.
struct BoxOrigin {
  int channel, token, head, batch;
};

/// Starts the copy of a box to shared memory; `arrived` counts its bytes. One thread calls it.
__device__ inline void load_box(const CUtensorMap& map, BoxOrigin from, void* to, SharedBarrier& arrived) {
  cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_cluster, cuda::ptx::space_global, to, &map,
                                  {from.channel, from.token, from.head, from.batch}, &arrived.state);
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
