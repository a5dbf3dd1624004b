// Barriers in shared memory (mbarrier) that count arrivals and bytes, named barriers of some warps, and
// registers moved between warpgroups.
#pragma once
#include <cstdint>
#include <cuda/ptx>

#include <stepvideo/core/nvcc.cuh>

namespace stepvideo {

/// One mbarrier. Each phase ends when the expected arrivals and bytes are in; phases alternate in parity.
struct SharedBarrier {
  std::uint64_t state;

  __device__ void initialize(int arrivals) {
    cuda::ptx::mbarrier_init(&state, static_cast<std::uint32_t>(arrivals));
  }
  __device__ void arrive() {
    cuda::ptx::mbarrier_arrive(cuda::ptx::sem_release, cuda::ptx::scope_cta, cuda::ptx::space_shared, &state);
  }
  /// Arrives, and keeps the phase open until `bytes` have been copied.
  __device__ void arrive_expecting(int bytes) {
    cuda::ptx::mbarrier_arrive_expect_tx(cuda::ptx::sem_release, cuda::ptx::scope_cta,
                                         cuda::ptx::space_shared, &state, static_cast<std::uint32_t>(bytes));
  }
  /// Whether the phase of this parity has ended; does not wait.
  __device__ bool has_ended(std::uint32_t parity) {
    return cuda::ptx::mbarrier_test_wait_parity(&state, parity);
  }
  /// Waits for the end of the phase of this parity.
  __device__ void wait(std::uint32_t parity) {
    while (!cuda::ptx::mbarrier_try_wait_parity(&state, parity)) {
    }
  }
};

/// Makes initialised barriers visible to copies and to the cluster; a block or cluster barrier must follow.
__device__ inline void publish_barriers() {
  cuda::ptx::fence_mbarrier_init(cuda::ptx::sem_release, cuda::ptx::scope_cluster);
}

/// Orders this thread's writes to shared memory before reads of it by the tensor cores and bulk copies.
__device__ inline void publish_shared_writes() {
  cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
}

/// A stage of a ring of barriers and the parity of its current round.
template <int stages>
struct RingPosition {
  int stage = 0;
  std::uint32_t parity = 0;

  __device__ RingPosition next() const {
    const bool wraps = stage + 1 == stages;
    return {wraps ? 0 : stage + 1, parity ^ static_cast<std::uint32_t>(wraps)};
  }
  __device__ void advance() { *this = next(); }
};

/// Hardware barrier `id` (1 to 15; 0 is __syncthreads) among `threads` threads.
__device__ inline void named_barrier_wait(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
/// Arrives without waiting.
__device__ inline void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// A warpgroup's registers a thread, from here on; a multiple of 8. All its warps must call it.
template <int registers>
__device__ void release_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
__device__ void claim_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

}  // namespace stepvideo
