#include "thread_room.hpp"

#include <cstddef>
#include <vector>

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <stepvideo/core/error.hpp>

#include "host_memory.hpp"

// Not in its headers; another BLAS has none of it.
extern "C" [[gnu::weak]] void* blas_memory_alloc(int position);
extern "C" [[gnu::weak]] void blas_memory_free(void* buffer);

namespace stepvideo {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

std::size_t stack_bytes() {
  pthread_attr_t attributes;
  std::size_t bytes = 8 * mebibyte;
  if (pthread_getattr_default_np(&attributes) == 0) {
    pthread_attr_getstacksize(&attributes, &bytes);
    pthread_attr_destroy(&attributes);
  }
  return bytes;
}

}  // namespace

void take_thread_room() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const bool is_openblas = blas_memory_alloc != nullptr && blas_memory_free != nullptr;
  const std::size_t buffer_bytes =
                        is_openblas ? 128 * mebibyte : 0,  // OpenBLAS 0.3 on x86-64; less elsewhere
      bytes_of_each = buffer_bytes + stack_bytes() + mebibyte;
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
  // A loop that is empty may be left out, and with it the threads.
  std::vector<int> made(threads);
#pragma omp parallel for schedule(static, 1)
  for (std::size_t i = 0; i < threads; ++i) made[i] = omp_get_thread_num();
  if (!is_openblas) return;
  std::vector<void*> buffers;
  for (std::size_t i = 0; i < threads; ++i) buffers.push_back(blas_memory_alloc(0));
  for (void* const buffer : buffers) blas_memory_free(buffer);
}

}  // namespace stepvideo
