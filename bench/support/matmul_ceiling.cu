#include <chrono>
#include <thread>

#include <cublasLt.h>
#include <dlfcn.h>

#include "support/device_bench.cuh"
#include "support/matmul_ceiling.hpp"
#include "support/timing.cuh"

namespace stepvideo::bench {
namespace {

constexpr index_t extent = 8192;

/// The calls of cuBLASLt that one product needs.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) create_product;
  decltype(&cublasLtMatmulDescDestroy) destroy_product;
  decltype(&cublasLtMatmulDescSetAttribute) set;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) prefer;
  decltype(&cublasLtMatmulAlgoGetHeuristic) choose;
  decltype(&cublasLtMatmul) multiply;

  static std::optional<CublasLt> open() {
    void* library = nullptr;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so"})
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return {};
    CublasLt calls{};
    const auto load = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    const bool is_whole = load(calls.create, "cublasLtCreate") && load(calls.destroy, "cublasLtDestroy") &&
                          load(calls.create_product, "cublasLtMatmulDescCreate") &&
                          load(calls.destroy_product, "cublasLtMatmulDescDestroy") &&
                          load(calls.set, "cublasLtMatmulDescSetAttribute") &&
                          load(calls.create_layout, "cublasLtMatrixLayoutCreate") &&
                          load(calls.destroy_layout, "cublasLtMatrixLayoutDestroy") &&
                          load(calls.create_preference, "cublasLtMatmulPreferenceCreate") &&
                          load(calls.destroy_preference, "cublasLtMatmulPreferenceDestroy") &&
                          load(calls.prefer, "cublasLtMatmulPreferenceSetAttribute") &&
                          load(calls.choose, "cublasLtMatmulAlgoGetHeuristic") &&
                          load(calls.multiply, "cublasLtMatmul");
    return is_whole ? std::optional(calls) : std::nullopt;
  }
};

/// D = A^T B, column-major, the orientation that fp8 allows; for the algorithms that the library proposes.
class Product {
 public:
  Product(const CublasLt& calls, Arithmetic arithmetic) : calls_(calls) {
    const bool is_fp8 = arithmetic == Arithmetic::fp8;
    const cudaDataType_t type = is_fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const std::int8_t fast_sums = is_fp8;
    const std::size_t workspace_bytes = workspace_.size_bytes();
    const auto good = [](cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; };
    is_ready_ = good(calls_.create(&handle_)) &&
                good(calls_.create_product(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
                good(calls_.set(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed)) &&
                good(calls_.set(product_, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast_sums, sizeof fast_sums)) &&
                good(calls_.create_layout(&in_, type, extent, extent, extent)) &&
                good(calls_.create_layout(&out_, CUDA_R_16BF, extent, extent, extent)) &&
                good(calls_.create_preference(&preference_)) &&
                good(calls_.prefer(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                   sizeof workspace_bytes)) &&
                good(calls_.choose(handle_, product_, in_, in_, out_, out_, preference_, most_choices,
                                   choices_, &count_));
  }
  ~Product() {
    if (preference_ != nullptr) calls_.destroy_preference(preference_);
    if (out_ != nullptr) calls_.destroy_layout(out_);
    if (in_ != nullptr) calls_.destroy_layout(in_);
    if (product_ != nullptr) calls_.destroy_product(product_);
    if (handle_ != nullptr) calls_.destroy(handle_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  /// How many algorithms the library proposes; none where it refused.
  int count() const { return is_ready_ ? count_ : 0; }
  /// Returns whether the library took the call.
  bool operator()(int algorithm, const void* a, const void* b, void* d) const {
    const float one = 1, zero = 0;
    return calls_.multiply(handle_, product_, &one, a, in_, b, in_, &zero, d, out_, d, out_,
                           &choices_[algorithm].algo, workspace_.data(), workspace_.size_bytes(),
                           nullptr) == CUBLAS_STATUS_SUCCESS;
  }

 private:
  const CublasLt& calls_;
  Buffer<std::byte, Device> workspace_{64 << 20};
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t in_ = nullptr, out_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  static constexpr int most_choices = 8;
  cublasLtMatmulHeuristicResult_t choices_[most_choices]{};
  int count_ = 0;
  bool is_ready_ = false;
};

template <class T>
std::optional<double> measure(const CublasLt& calls, Arithmetic arithmetic) {
  const RandomSets<T> a(extent * extent), b(extent * extent);
  const Buffer<bf16, Device> d(extent * extent);
  const Product product(calls, arithmetic);
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
  static const std::optional<CublasLt> calls = CublasLt::open();
  if (!calls) return {};
  return arithmetic == Arithmetic::fp8 ? measure<fp8_e4m3>(*calls, arithmetic)
                                       : measure<bf16>(*calls, arithmetic);
}

}  // namespace stepvideo::bench
