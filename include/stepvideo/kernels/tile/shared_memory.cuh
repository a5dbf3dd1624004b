// A block's dynamic shared memory.
#pragma once
#include <cstddef>

namespace stepvideo {

/// The block's dynamic shared memory as a Shared, at an address that swizzled tiles ask for. The launch gives
/// sizeof(Shared) bytes.
template <class Shared>
__device__ Shared& shared_memory() {
  extern __shared__ __align__(1024) std::byte dynamic_shared_memory[];
  static_assert(alignof(Shared) <= 1024);
  return *reinterpret_cast<Shared*>(dynamic_shared_memory);
}

}  // namespace stepvideo
