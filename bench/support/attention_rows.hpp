// The attention that the table measures, stated once for our kernels and for PyTorch's. One batch element,
// heads of 128 channels, normal inputs.
#pragma once
#include <string>
#include <vector>

#include <stepvideo/core/view.hpp>

#include "support/report.hpp"

namespace stepvideo::bench {

inline constexpr index_t attention_dim = 128;

/// Queries attend to the first `visible` of `keys` keys.
struct AttentionCase {
  std::string name;  ///< of the row
  index_t queries, keys, visible, heads;
  Arithmetic arithmetic;
  std::string backend;  ///< what PyTorch's scaled_dot_product_attention is held to: cudnn or flash
  int spare_multiprocessors = 0;

  Row row() const {
    const double width = static_cast<double>(heads * attention_dim);
    const double bytes_per_element = 2;  // also where the kernel quantises: inputs and output are bf16
    return {.name = name,
            .flops = 4 * static_cast<double>(queries) * static_cast<double>(visible) * width,
            .bytes = bytes_per_element * width * 2 * static_cast<double>(queries + visible),
            .arithmetic = arithmetic};
  }
};

inline AttentionCase self_attention_case(const std::string& kernel, index_t tokens, index_t heads,
                                         Arithmetic arithmetic, const std::string& backend) {
  return {kernel + ", " + std::to_string(tokens) + " tokens, " + std::to_string(heads) + " heads",
          tokens,
          tokens,
          tokens,
          heads,
          arithmetic,
          backend};
}

/// The same with so many multiprocessors left to others.
inline AttentionCase sparing(AttentionCase attention, int multiprocessors) {
  attention.name += ", " + std::to_string(multiprocessors) + " multiprocessors free";
  attention.spare_multiprocessors = multiprocessors;
  return attention;
}

/// attention() on bf16: what one GPU attends to, what one of four does, a short video's share of eight, and
/// the text's keys.
inline std::vector<AttentionCase> attention_cases() {
  const std::string kernel = "attention, bf16";
  return {self_attention_case(kernel, 75'888, 48, Arithmetic::bf16, "cudnn"),
          self_attention_case(kernel, 75'888, 12, Arithmetic::bf16, "cudnn"),
          self_attention_case(kernel, 16'384, 6, Arithmetic::bf16, "cudnn"),
          {kernel + ", 75888 queries, 200 of 397 keys, 48 heads", 75'888, 397, 200, 48, Arithmetic::bf16,
           "cudnn"},
          sparing(self_attention_case(kernel, 75'888, 48, Arithmetic::bf16, "cudnn"), 8),
          sparing(self_attention_case(kernel, 75'888, 48, Arithmetic::bf16, "cudnn"), 16)};
}
/// warp_attention(), the portable path, on bf16.
inline std::vector<AttentionCase> warp_attention_cases() {
  return {self_attention_case("warp_attention, bf16", 75'888, 48, Arithmetic::bf16, "flash")};
}
/// fp8_attention() from bf16 inputs, their quantisation included; PyTorch's is bf16.
inline std::vector<AttentionCase> fp8_attention_cases() {
  const std::string kernel = "fp8_attention with quantisation";
  return {self_attention_case(kernel, 75'888, 48, Arithmetic::fp8, "cudnn"),
          self_attention_case(kernel, 75'888, 12, Arithmetic::fp8, "cudnn"),
          self_attention_case(kernel, 16'384, 6, Arithmetic::fp8, "cudnn")};
}

}  // namespace stepvideo::bench
