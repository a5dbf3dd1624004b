// One owner for a GPU: its ordinal, its streams and what orders them.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <cuda_runtime_api.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

namespace gpu_detail {

/// A memory pool of a GPU, which keeps what is freed for the next buffer. The process has one a GPU, however
/// many share it; while it lives, the GPU's buffers lie in it.
class GpuPool {
 public:
  /// The GPU's, made where it has none; the GPU is current.
  static std::shared_ptr<GpuPool> of(int ordinal) {
    static std::map<int, std::weak_ptr<GpuPool>> all;
    const std::lock_guard lock(mutex);
    std::shared_ptr<GpuPool> pool = all[ordinal].lock();
    if (pool == nullptr) all[ordinal] = pool = std::make_shared<GpuPool>(ordinal);
    return pool;
  }

  explicit GpuPool(int ordinal) : ordinal_(ordinal) {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {.type = cudaMemLocationTypeDevice, .id = ordinal};
    check(cudaDeviceGetMemPool(&previous_, ordinal));
    check(cudaMemPoolCreate(&pool_, &properties));
    try {
      std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
      check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &all));
      check(cudaDeviceSetMemPool(ordinal, pool_));
    } catch (...) {
      cudaMemPoolDestroy(pool_);
      throw;
    }
  }
  GpuPool(const GpuPool&) = delete;
  GpuPool& operator=(const GpuPool&) = delete;
  ~GpuPool() {
    const std::lock_guard lock(mutex);
    cudaMemPool_t current = nullptr;
    // Another thread may have made the next one meanwhile.
    if (cudaDeviceGetMemPool(&current, ordinal_) == cudaSuccess && current == pool_)
      cudaDeviceSetMemPool(ordinal_, previous_);
    cudaMemPoolDestroy(pool_);
  }

  cudaMemPool_t get() const { return pool_; }

 private:
  static inline std::mutex mutex;

  int ordinal_;
  cudaMemPool_t pool_ = nullptr, previous_ = nullptr;
};

}  // namespace gpu_detail

/// A GPU of this process, with a stream each for computing, for copies to and from the host, and for exchange
/// with other GPUs. Several may be of one GPU: ranks that share it. Buffers made on its streams lie in a
/// memory pool of the GPU, which keeps what is freed for the next buffer; they must end before the last Gpu
/// of it does, and the program stops with a sentence where one does not: its memory would be freed on a
/// stream that is gone. A thread that launches kernels calls bind() first.
class Gpu {
 public:
  /// Makes GPU `ordinal` the calling thread's. Throws RequestError where there is none, Error as CUDA does.
  explicit Gpu(int ordinal) : ordinal_(ordinal) {
    int count = 0;
    check(cudaGetDeviceCount(&count));
    require(ordinal >= 0 && ordinal < count, [&] {
      return "GPU " + std::to_string(ordinal) + " was asked for and this process sees " +
             std::to_string(count) + "; the first is 0";
    });
    bind();
    pool_ = gpu_detail::GpuPool::of(ordinal);
    try {
      for (cudaStream_t* const stream : {&compute_, &copies_, &exchange_})
        check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
      check(cudaEventCreateWithFlags(&order_, cudaEventDisableTiming));
    } catch (...) {
      destroy();
      throw;
    }
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  ~Gpu() {
    bool works = true;
    for (const cudaStream_t stream : {compute_, copies_, exchange_})
      works = cudaStreamSynchronize(stream) == cudaSuccess && works;
    // After a fault of the GPU nothing can be freed, and the fault is what is to be told. Buffers may be of
    // another that shares the GPU.
    if (const std::uint64_t bytes = used_bytes(); works && bytes > 0 && pool_.use_count() == 1) {
      std::fprintf(stderr, "stepvideo: GPU %d ends while buffers of %llu bytes on its streams live\n",
                   ordinal_, static_cast<unsigned long long>(bytes));
      std::abort();
    }
    destroy();
  }

  int ordinal() const { return ordinal_; }
  /// Makes this GPU the calling thread's current one.
  void bind() const { check(cudaSetDevice(ordinal_)); }
  /// From now on this GPU's kernels and copies reach the other's buffers. Throws RequestError where the
  /// machine does not let them.
  void reach(const Gpu& other) const {
    if (other.ordinal_ == ordinal_) return;
    int can = 0;
    check(cudaDeviceCanAccessPeer(&can, ordinal_, other.ordinal_));
    require(can != 0, [&] {
      return "GPU " + std::to_string(ordinal_) + " does not reach the memory of GPU " +
             std::to_string(other.ordinal_) +
             ": neither NVLink nor PCIe lets it on this machine; exchange by NCCL works";
    });
    const cudaMemAccessDesc access{.location = {.type = cudaMemLocationTypeDevice, .id = ordinal_},
                                   .flags = cudaMemAccessFlagsProtReadWrite};
    check(cudaMemPoolSetAccess(other.pool_->get(), &access, 1));
  }

  Device compute() const { return {compute_, matmuls_}; }
  Device copies() const { return {copies_}; }
  Device exchange() const { return {exchange_}; }
  /// The plans that linear() finds in compute() from now on; they must outlive its calls.
  void use(MatmulPlans& plans) { matmuls_ = &plans; }

  /// What `then` is given from now on waits for what `first` was given so far; the host does not wait.
  void order(Device first, Device then) const {
    check(cudaEventRecord(order_, first.stream));
    check(cudaStreamWaitEvent(then.stream, order_));
  }

  /// Bytes in buffers now, and at most since reset_peak().
  std::uint64_t used_bytes() const { return attribute(cudaMemPoolAttrUsedMemCurrent); }
  std::uint64_t peak_bytes() const { return attribute(cudaMemPoolAttrUsedMemHigh); }
  void reset_peak() const {
    std::uint64_t zero = 0;
    check(cudaMemPoolSetAttribute(pool_->get(), cudaMemPoolAttrUsedMemHigh, &zero));
  }
  /// Gives the memory that freed buffers left in the pool back to the system, once the streams have run dry.
  void release_unused() const {
    for (const cudaStream_t stream : {compute_, copies_, exchange_}) check(cudaStreamSynchronize(stream));
    check(cudaMemPoolTrimTo(pool_->get(), 0));
  }

 private:
  std::uint64_t attribute(cudaMemPoolAttr which) const {
    std::uint64_t value = 0;
    return cudaMemPoolGetAttribute(pool_->get(), which, &value) == cudaSuccess ? value : 0;
  }
  void destroy() noexcept {
    if (order_ != nullptr) cudaEventDestroy(order_);
    for (const cudaStream_t stream : {compute_, copies_, exchange_})
      if (stream != nullptr) cudaStreamDestroy(stream);
  }

  int ordinal_;
  std::shared_ptr<gpu_detail::GpuPool> pool_;
  cudaStream_t compute_ = nullptr, copies_ = nullptr, exchange_ = nullptr;
  cudaEvent_t order_ = nullptr;
  MatmulPlans* matmuls_ = nullptr;
};

}  // namespace stepvideo
