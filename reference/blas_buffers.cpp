#include "blas_buffers.hpp"

#include <cstddef>
#include <vector>

#include <fmt/format.h>
#include <omp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <stepvideo/core/error.hpp>

#include "host_memory.hpp"

// Not in its headers; another BLAS has none of it.
extern "C" [[gnu::weak]] void* blas_memory_alloc(int position);
extern "C" [[gnu::weak]] void blas_memory_free(void* buffer);

namespace stepvideo {

void take_blas_buffers() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  if (blas_memory_alloc == nullptr || blas_memory_free == nullptr) return;
  constexpr std::size_t mebibyte = std::size_t{1} << 20;
  constexpr std::size_t bytes_of_each = 128 * mebibyte;  // OpenBLAS 0.3 on x86-64; less elsewhere
  const auto threads = static_cast<std::size_t>(omp_get_max_threads());
  const std::size_t bytes = threads * bytes_of_each;
  void* const room = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) {
    const std::size_t left = read_host_memory().available_bytes, fitting = left / bytes_of_each;
    throw Error(fmt::format(
        "matrix products on {} threads take {} MiB of addresses and ulimit -v leaves {}; a "
        "higher limit works{}",
        threads, bytes / mebibyte, left / mebibyte,
        fitting > 0 && fitting < threads ? fmt::format(", as does OMP_NUM_THREADS={}", fitting) : ""));
  }
  munmap(room, bytes);
  std::vector<void*> buffers;
  for (std::size_t i = 0; i < threads; ++i) buffers.push_back(blas_memory_alloc(0));
  for (void* const buffer : buffers) blas_memory_free(buffer);
}

}  // namespace stepvideo
