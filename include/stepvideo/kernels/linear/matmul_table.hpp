// Which algorithm multiplies which shape on which chip: plain data, for tables that are measured once and
// kept.
#pragma once
#include <compare>
#include <cstdint>

#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// fp8 operands have a scale for each of their rows.
enum class MatmulElement { fp32, bf16, fp16, fp8 };
constexpr const char* to_string(MatmulElement element) {
  constexpr const char* names[] = {"fp32", "bf16", "fp16", "fp8"};
  return names[static_cast<int>(element)];
}

/// What the library does to a product before it stores it.
enum class MatmulEpilogue { store, bias, gelu, bias_gelu, residual, bias_residual };
constexpr const char* to_string(MatmulEpilogue epilogue) {
  constexpr const char* names[] = {"store", "bias", "gelu", "bias_gelu", "residual", "bias_residual"};
  return names[static_cast<int>(epilogue)];
}

/// What a chosen algorithm holds for: a chip, by its compute capability and its multiprocessors (a MIG slice
/// has fewer), and a version of cuBLASLt (cublasLtGetVersion()).
struct MatmulPlatform {
  int capability_major = 0, capability_minor = 0, multiprocessors = 0;
  std::int64_t library_version = 0;

  auto operator<=>(const MatmulPlatform&) const = default;
};

/// result (rows, columns) = in (rows, depth) weight^T, sums in float32. `rows` are those of the whole
/// problem, of which a call may hold a share.
struct MatmulShape {
  index_t rows = 0, columns = 0, depth = 0;
  MatmulElement element = MatmulElement::bf16, result = MatmulElement::bf16;
  MatmulEpilogue epilogue = MatmulEpilogue::store;

  auto operator<=>(const MatmulShape&) const = default;
};

/// An algorithm by the attributes that cuBLASLt sets it with (cublasLtMatmulAlgoConfigAttributes_t); 0 leaves
/// the library's default.
struct MatmulAlgorithm {
  std::int32_t id = 0;
  std::uint32_t tile = 0, stages = 0;
  std::int32_t split_k = 0;
  std::uint32_t reduction_scheme = 0, swizzle = 0, custom_option = 0;
  std::uint16_t inner_shape = 0, cluster_shape = 0;

  auto operator<=>(const MatmulAlgorithm&) const = default;
};

struct MatmulTableRow {
  MatmulPlatform platform;
  MatmulShape shape;
  MatmulAlgorithm algorithm;
};

}  // namespace stepvideo
