// Values that the compiler is to keep instead of making them again.
#pragma once
#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// The value, whose origin the compiler forgets: an address of shared memory is otherwise put together anew,
/// from special registers, wherever it is used.
template <class T>
__device__ T opaque(T value) {
  if constexpr (sizeof(T) == 8) {
    asm volatile("" : "+l"(value));
  } else {
    asm volatile("" : "+r"(value));
  }
  return value;
}

}  // namespace stepvideo
