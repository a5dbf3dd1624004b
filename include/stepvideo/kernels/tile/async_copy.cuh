// Copies from global to shared memory that do not pass through registers, for compute capability 8.0 and
// later.
#pragma once
#include <cstdint>

#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// The address that shared memory's instructions take.
__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Copies 16 bytes, both sides aligned to that; where not `is_there`, reads nothing and writes zeros.
__device__ inline void copy_async_16(std::uint32_t target, const void* source, bool is_there) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(target), "l"(source),
               "r"(is_there ? 16 : 0)
               : "memory");
}

/// What this thread copied since the last call becomes one group.
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until no more than the `pending` latest groups of this thread are under way.
template <int pending>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

}  // namespace stepvideo
