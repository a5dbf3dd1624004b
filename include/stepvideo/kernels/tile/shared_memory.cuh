// A block's dynamic shared memory.
#pragma once
#include <cstddef>

#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// The block's dynamic shared memory as a Shared, aligned as that asks for: to the 1024 bytes of the tiles
/// that bulk copies swizzle, or to no more than 256. The launch gives sizeof(Shared) bytes.
template <class Shared>
__device__ Shared& shared_memory() {
  static_assert(alignof(Shared) <= 1024);
  if constexpr (alignof(Shared) <= 256) {
    extern __shared__ __align__(256) std::byte dynamic_shared_memory_256[];
    return *reinterpret_cast<Shared*>(dynamic_shared_memory_256);
  } else {
    extern __shared__ __align__(1024) std::byte dynamic_shared_memory[];
    return *reinterpret_cast<Shared*>(dynamic_shared_memory);
  }
}

}  // namespace stepvideo
