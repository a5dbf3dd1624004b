#include <chrono>
#include <thread>

#include <cublasLt.h>

#include "support/device_bench.cuh"
#include "support/matmul_ceiling.hpp"
#include "support/timing.cuh"

namespace stepvideo::bench {
namespace {

constexpr index_t extent = 8192;

/// D = A^T B, column-major, the orientation that fp8 allows; for the algorithms that the library proposes.
class Product {
 public:
  explicit Product(Arithmetic arithmetic) {
    const bool is_fp8 = arithmetic == Arithmetic::fp8;
    const cudaDataType_t type = is_fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const std::int8_t fast_sums = is_fp8;
    const std::size_t workspace_bytes = workspace_.size_bytes();
    cublasLtMatmulPreferenceOpaque_t preference;
    const auto good = [](cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; };
    is_ready_ =
        good(cublasLtCreate(&handle_)) &&
        good(cublasLtMatmulDescInit(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
        good(cublasLtMatmulDescSetAttribute(&product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                            sizeof transposed)) &&
        good(cublasLtMatmulDescSetAttribute(&product_, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast_sums,
                                            sizeof fast_sums)) &&
        good(cublasLtMatrixLayoutInit(&in_, type, extent, extent, extent)) &&
        good(cublasLtMatrixLayoutInit(&out_, CUDA_R_16BF, extent, extent, extent)) &&
        good(cublasLtMatmulPreferenceInit(&preference)) &&
        good(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &workspace_bytes, sizeof workspace_bytes)) &&
        good(cublasLtMatmulAlgoGetHeuristic(handle_, &product_, &in_, &in_, &out_, &out_, &preference,
                                            most_choices, choices_, &count_));
  }
  ~Product() {
    if (handle_ != nullptr) cublasLtDestroy(handle_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  /// How many algorithms the library proposes; none where it refused, or is not there.
  int count() const { return is_ready_ ? count_ : 0; }
  /// Returns whether the library took the call.
  bool operator()(int algorithm, const void* a, const void* b, void* d) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle_, &product_, &one, a, &in_, b, &in_, &zero, d, &out_, d, &out_,
                          &choices_[algorithm].algo, workspace_.data(), workspace_.size_bytes(),
                          nullptr) == CUBLAS_STATUS_SUCCESS;
  }

 private:
  Buffer<std::byte, Device> workspace_{64 << 20};
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDescOpaque_t product_;
  cublasLtMatrixLayoutOpaque_t in_, out_;
  static constexpr int most_choices = 8;
  cublasLtMatmulHeuristicResult_t choices_[most_choices]{};
  int count_ = 0;
  bool is_ready_ = false;
};

template <class T>
std::optional<double> measure(Arithmetic arithmetic) {
  const RandomSets<T> a(extent * extent), b(extent * extent);
  const Buffer<bf16, Device> d(extent * extent);
  Product product(arithmetic);
  double fastest = 0;
  for (int algorithm = 0; algorithm < product.count(); ++algorithm) {
    bool is_done = true;
    const auto times =
        steady_times([] {},
                     [&](int run) {
                       is_done = product(algorithm, a.at(run).data(), b.at(run).data(), d.data()) && is_done;
                     },
                     0.0);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (is_done) fastest = std::max(fastest, 2e3 * extent * extent * extent / median(times));
  }
  return fastest > 0 ? std::optional(fastest) : std::nullopt;
}

}  // namespace

std::optional<double> matmul_flops_per_second(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp8 ? measure<fp8_e4m3>(arithmetic) : measure<bf16>(arithmetic);
}

}  // namespace stepvideo::bench
