// Asking cuBLASLt for algorithms, and telling it which one to take.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <stepvideo/kernels/linear/check_matmul.cuh>
#include <stepvideo/kernels/linear/matmul_call.cuh>
#include <stepvideo/kernels/linear/matmul_table.hpp>

namespace stepvideo::linear_detail {

/// body(attribute, value) for every attribute beside the id.
template <class Algorithm, class Body>
void for_each_attribute(Algorithm& algorithm, Body&& body) {
  body(CUBLASLT_ALGO_CONFIG_TILE_ID, algorithm.tile);
  body(CUBLASLT_ALGO_CONFIG_STAGES_ID, algorithm.stages);
  body(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, algorithm.split_k);
  body(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, algorithm.reduction_scheme);
  body(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, algorithm.swizzle);
  body(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, algorithm.custom_option);
  body(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, algorithm.inner_shape);
  body(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, algorithm.cluster_shape);
}

/// What the algorithm has; 0 for an attribute that is not one of its own.
inline MatmulAlgorithm attributes_of(const cublasLtMatmulAlgo_t& algorithm) {
  MatmulAlgorithm attributes;
  std::size_t written = 0;
  check(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_ID, &attributes.id,
                                             sizeof attributes.id, &written));
  for_each_attribute(attributes, [&](cublasLtMatmulAlgoConfigAttributes_t attribute, auto& value) {
    if (cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value, &written) !=
        CUBLAS_STATUS_SUCCESS)
      value = 0;
  });
  return attributes;
}

struct ChosenAlgorithm {
  cublasLtMatmulAlgo_t algorithm;
};

/// Lets the library call what CUDA forbids while a graph is being captured: choosing an algorithm enqueues
/// nothing.
class OutsideCapture {
 public:
  OutsideCapture() { check(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  ~OutsideCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  OutsideCapture(const OutsideCapture&) = delete;
  OutsideCapture& operator=(const OutsideCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

/// The algorithms of one shape in one layout, within a workspace.
class AlgorithmSearch {
 public:
  AlgorithmSearch(cublasLtHandle_t handle, const MatmulShape& shape, const MatmulLayout& layout,
                  std::size_t workspace_bytes)
      : handle_(handle),
        shape_(shape),
        workspace_bytes_(workspace_bytes),
        with_(shape, shape.rows, layout, {any_address(), any_address(), any_address()}),
        layout_(layout) {}

  /// The library's proposals, best first by its own estimate; at most `count`.
  std::vector<ChosenAlgorithm> proposals(int count) const {
    const OutsideCapture guard;
    cublasLtMatmulPreferenceOpaque_t preference;
    check(cublasLtMatmulPreferenceInit(&preference));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes_});
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction_schemes);
    prefer(CUBLASLT_MATMUL_PREF_IMPL_MASK, implementations());
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, layout_.weight_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, layout_.in_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, layout_.residual_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, layout_.out_alignment);
    std::vector<Proposal> results(static_cast<std::size_t>(count));
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, with_.product(), with_.weight(), with_.in(), with_.residual(),
                                       with_.out(), &preference, count, &results.data()->result, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
    check(status);
    std::vector<ChosenAlgorithm> chosen;
    for (int i = 0; i < found; ++i) {
      const auto& result = results[static_cast<std::size_t>(i)].result;
      if (result.state == CUBLAS_STATUS_SUCCESS && is_fit(result.algo)) chosen.push_back({result.algo});
    }
    return chosen;
  }
  std::optional<ChosenAlgorithm> first_proposal() const {
    const auto proposed = proposals(8);
    return proposed.empty() ? std::nullopt : std::optional(proposed.front());
  }

  /// What a search tries first: the first proposal, then the others.
  std::vector<MatmulAlgorithm> proposed() const {
    std::vector<MatmulAlgorithm> found;
    if (const auto first = first_proposal()) found.push_back(attributes_of(first->algorithm));
    for (const auto& proposal : proposals(most_proposals))
      if (const auto other = attributes_of(proposal.algorithm); found.empty() || other != found.front())
        found.push_back(other);
    return found;
  }

  /// All that a search may try: the proposals, which vary most, and every algorithm of the library in each of
  /// its tiles, stages and orders of the grid that takes this shape and layout. Thousands, and slow to make.
  std::vector<MatmulAlgorithm> candidates() const {
    std::vector<MatmulAlgorithm> found = proposed();
    const auto element = library_type(shape_.element), result = library_type(shape_.result);
    int ids[most_proposals] = {}, id_count = 0;
    check(cublasLtMatmulAlgoGetIds(handle_, CUBLAS_COMPUTE_32F, CUDA_R_32F, element, element, result, result,
                                   most_proposals, ids, &id_count));
    for (const int id : std::span(ids, static_cast<std::size_t>(id_count))) {
      cublasLtMatmulAlgo_t algorithm;
      if (cublasLtMatmulAlgoInit(handle_, CUBLAS_COMPUTE_32F, CUDA_R_32F, element, element, result, result,
                                 id, &algorithm) != CUBLAS_STATUS_SUCCESS)
        continue;
      const auto swizzles = capability<std::uint32_t>(algorithm, CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT);
      for (const std::uint32_t tile : ids_of(algorithm, CUBLASLT_ALGO_CAP_TILE_IDS))
        for (const std::uint32_t stages : ids_of(algorithm, CUBLASLT_ALGO_CAP_STAGES_IDS))
          for (std::uint32_t swizzle = 0; swizzle <= swizzles; ++swizzle) {
            const MatmulAlgorithm candidate{.id = id, .tile = tile, .stages = stages, .swizzle = swizzle};
            if (const auto taken = restore(candidate)) found.push_back(attributes_of(taken->algorithm));
          }
    }
    return found;
  }

  /// The algorithm with these attributes; nothing where the library does not take it for this shape and
  /// layout.
  std::optional<ChosenAlgorithm> restore(const MatmulAlgorithm& attributes) const {
    const OutsideCapture guard;
    const auto element = library_type(shape_.element), result = library_type(shape_.result);
    ChosenAlgorithm chosen{};
    if (cublasLtMatmulAlgoInit(handle_, CUBLAS_COMPUTE_32F, CUDA_R_32F, element, element, result, result,
                               attributes.id, &chosen.algorithm) != CUBLAS_STATUS_SUCCESS)
      return {};
    bool is_taken = true;
    for_each_attribute(attributes, [&](cublasLtMatmulAlgoConfigAttributes_t attribute, auto value) {
      decltype(value) present{};
      std::size_t written = 0;
      if (value == 0 ||
          (cublasLtMatmulAlgoConfigGetAttribute(&chosen.algorithm, attribute, &present, sizeof present,
                                                &written) == CUBLAS_STATUS_SUCCESS &&
           present == value))
        return;  // the default; some refuse to be told
      is_taken &= cublasLtMatmulAlgoConfigSetAttribute(&chosen.algorithm, attribute, &value, sizeof value) ==
                  CUBLAS_STATUS_SUCCESS;
    });
    cublasLtMatmulHeuristicResult_t verdict{};
    is_taken = is_taken && is_fit(chosen.algorithm) &&
               cublasLtMatmulAlgoCheck(handle_, with_.product(), with_.weight(), with_.in(), with_.residual(),
                                       with_.out(), &chosen.algorithm, &verdict) == CUBLAS_STATUS_SUCCESS &&
               verdict.state == CUBLAS_STATUS_SUCCESS && verdict.workspaceSize <= workspace_bytes_;
    return is_taken ? std::optional(chosen) : std::nullopt;
  }

 private:
  /// Partial sums, where the depth is split, wait for each other in float32 and are added in one order. In
  /// place they would be rounded to the result's element on the way, as with the output's type.
  static constexpr std::uint32_t reduction_schemes =
      CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

  static constexpr int most_proposals = 128;

  /// The library's struct has no name of its own, and nvcc 13.0 breaks over a template of such a type.
  struct Proposal {
    cublasLtMatmulHeuristicResult_t result;
  };
  static_assert(sizeof(Proposal) == sizeof(cublasLtMatmulHeuristicResult_t));

  std::uint64_t implementations() const {
    constexpr std::uint64_t narrower_than_float = CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_TF32 |
                                                  CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_16BF |
                                                  CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_16F;
    constexpr std::uint64_t narrow_sums = CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_16F;
    return ~(narrow_sums | (shape_.element == MatmulElement::fp32 ? narrower_than_float : 0));
  }
  template <class Value>
  static Value capability(const cublasLtMatmulAlgo_t& algorithm,
                          cublasLtMatmulAlgoCapAttributes_t attribute) {
    Value value{};
    std::size_t written = 0;
    check(cublasLtMatmulAlgoCapGetAttribute(&algorithm, attribute, &value, sizeof value, &written));
    return value;
  }
  /// The tiles or stages that an algorithm has, or 0, its own choice, where it names none.
  static std::vector<std::uint32_t> ids_of(const cublasLtMatmulAlgo_t& algorithm,
                                           cublasLtMatmulAlgoCapAttributes_t attribute) {
    std::size_t bytes = 0, written = 0;
    check(cublasLtMatmulAlgoCapGetAttribute(&algorithm, attribute, nullptr, 0, &bytes));
    if (bytes == 0) return {0};
    std::vector<std::uint32_t> ids(bytes / sizeof(std::uint32_t));
    check(cublasLtMatmulAlgoCapGetAttribute(&algorithm, attribute, ids.data(), bytes, &written));
    return ids;
  }
  bool is_fit(const cublasLtMatmulAlgo_t& algorithm) const {
    const auto flags = capability<std::uint64_t>(algorithm, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS);
    const bool adds =
        shape_.epilogue == MatmulEpilogue::residual || shape_.epilogue == MatmulEpilogue::bias_residual;
    return (attributes_of(algorithm).reduction_scheme & ~reduction_schemes) == 0 &&
           (flags & ~implementations()) == 0 &&
           (!adds || capability<std::int32_t>(algorithm, CUBLASLT_ALGO_CAP_OUT_OF_PLACE_RESULT_SUPPORT) != 0);
  }
  /// The library looks at the address's alignment alone.
  static const void* any_address() {
    return reinterpret_cast<const void*>(std::uintptr_t{widest_matmul_access});
  }

  cublasLtHandle_t handle_;
  MatmulShape shape_;
  std::size_t workspace_bytes_;
  mutable MatmulDescriptors with_;
  MatmulLayout layout_;
};

}  // namespace stepvideo::linear_detail
