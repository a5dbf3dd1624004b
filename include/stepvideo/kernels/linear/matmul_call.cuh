// One matrix product in cuBLASLt's terms.
#pragma once
#include <concepts>
#include <cstdint>

#include <cublasLt.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/linear/check_matmul.cuh>
#include <stepvideo/kernels/linear/matmul_table.hpp>

namespace stepvideo {

/// What the library multiplies with float32 sums.
template <class T>
concept MatmulOperand = std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, fp16>;

/// What it stores such products as: the operands' element or float32.
template <class Out, class T>
concept MatmulResultOf = MatmulOperand<T> &&(std::same_as<Out, T> || std::same_as<Out, float>);

template <Element T>
inline constexpr MatmulElement matmul_element = MatmulElement::fp32;
template <>
inline constexpr MatmulElement matmul_element<bf16> = MatmulElement::bf16;
template <>
inline constexpr MatmulElement matmul_element<fp16> = MatmulElement::fp16;
template <>
inline constexpr MatmulElement matmul_element<fp8_e4m3> = MatmulElement::fp8;

/// out (rows, columns) = epilogue(in (rows, depth) weight (columns, depth)^T). Strides count elements and are
/// at least a row's; shape.rows is what the algorithm is chosen for and `rows` what this call has.
struct MatmulCall {
  MatmulShape shape;
  index_t rows = 0;
  const void* in = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;      ///< (columns) of the result's element, where the epilogue has one
  const void* residual = nullptr;  ///< (rows, columns) of the result's element; may be `out`
  void* out = nullptr;
  /// (rows) and (columns) of fp8 operands; without them the sums are what is stored.
  const float *in_scales = nullptr, *weight_scales = nullptr;
  index_t in_stride = 0, weight_stride = 0, residual_stride = 0, out_stride = 0;

  bool adds_residual() const {
    return shape.epilogue == MatmulEpilogue::residual || shape.epilogue == MatmulEpilogue::bias_residual;
  }
};

namespace linear_detail {

inline cudaDataType_t library_type(MatmulElement element) {
  constexpr cudaDataType_t types[] = {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F, CUDA_R_8F_E4M3};
  return types[static_cast<int>(element)];
}
inline index_t element_bytes(MatmulElement element) {
  return element == MatmulElement::fp32 ? 4 : element == MatmulElement::fp8 ? 1 : 2;
}
inline cublasLtEpilogue_t library_epilogue(MatmulEpilogue epilogue) {
  switch (epilogue) {
    case MatmulEpilogue::bias:
    case MatmulEpilogue::bias_residual:
      return CUBLASLT_EPILOGUE_BIAS;
    case MatmulEpilogue::gelu:
      return CUBLASLT_EPILOGUE_GELU;
    case MatmulEpilogue::bias_gelu:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    default:
      return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

/// The widest access that an algorithm makes, in bytes. Alignment beyond it chooses no other algorithm, so
/// that a share of the rows, which begins elsewhere, gets the whole's.
inline constexpr std::uint32_t widest_matmul_access = 16;

/// The largest power of two, at most widest_matmul_access, that divides the address of every row.
inline std::uint32_t row_alignment(const void* data, index_t stride_bytes) {
  const auto bits = reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(stride_bytes) |
                    widest_matmul_access;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// How a call's rows lie in memory, as far as algorithms care.
struct MatmulLayout {
  index_t in_stride, weight_stride, residual_stride, out_stride;
  std::uint32_t in_alignment, weight_alignment, residual_alignment, out_alignment;
  bool is_scaled;  ///< by scales of the operands' rows

  static MatmulLayout of(const MatmulCall& call) {
    const index_t bytes = element_bytes(call.shape.element), result_bytes = element_bytes(call.shape.result);
    const bool adds = call.adds_residual();
    const index_t residual_stride = adds ? call.residual_stride : call.out_stride;
    return {call.in_stride,
            call.weight_stride,
            residual_stride,
            call.out_stride,
            row_alignment(call.in, call.in_stride * bytes),
            row_alignment(call.weight, call.weight_stride * bytes),
            row_alignment(adds ? call.residual : call.out, residual_stride * result_bytes),
            row_alignment(call.out, call.out_stride * result_bytes),
            call.in_scales != nullptr};
  }
  auto operator<=>(const MatmulLayout&) const = default;
};

/// The library's descriptors. It counts columns first: with A = weight and B = in, its D (columns, rows) =
/// A^T B lies in memory as our result does.
class MatmulDescriptors {
 public:
  /// Addresses that a product needs beside its matrices. Where only an algorithm is asked for they may be any
  /// of the alignment in question.
  struct Vectors {
    const void *bias, *in_scales, *weight_scales;
  };

  MatmulDescriptors(const MatmulShape& shape, index_t rows, const MatmulLayout& layout,
                    const Vectors& vectors) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const auto epilogue = library_epilogue(shape.epilogue);
    const auto element = library_type(shape.element), result = library_type(shape.result);
    check(cublasLtMatmulDescInit(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS)
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, vectors.bias);
    // Sums of fp8 in the tensor cores' own 14 bits or so: 7 % faster than with every 128th product added in
    // float32, and an error that fp8's own, 4e-2, hides.
    if (shape.element == MatmulElement::fp8) {
      set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{1});
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, result);  // else bf16
    }
    if (layout.is_scaled) {
      constexpr auto of_rows = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
      set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, of_rows);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, of_rows);
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, vectors.weight_scales);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, vectors.in_scales);
    }
    lay_out(weight_, element, shape.depth, shape.columns, layout.weight_stride);
    lay_out(in_, element, shape.depth, rows, layout.in_stride);
    lay_out(residual_, result, shape.columns, rows, layout.residual_stride);
    lay_out(out_, result, shape.columns, rows, layout.out_stride);
  }

  // The library takes them without const and leaves them as they are.
  cublasLtMatmulDesc_t product() { return &product_; }
  cublasLtMatrixLayout_t weight() { return &weight_; }
  cublasLtMatrixLayout_t in() { return &in_; }
  cublasLtMatrixLayout_t residual() { return &residual_; }
  cublasLtMatrixLayout_t out() { return &out_; }

 private:
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    check(cublasLtMatmulDescSetAttribute(&product_, attribute, &value, sizeof value));
  }
  static void lay_out(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType_t type, index_t width, index_t rows,
                      index_t stride) {
    check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(width),
                                   static_cast<std::uint64_t>(rows), stride));
  }

  cublasLtMatmulDescOpaque_t product_;
  cublasLtMatrixLayoutOpaque_t weight_, in_, residual_, out_;
};

}  // namespace linear_detail
}  // namespace stepvideo
