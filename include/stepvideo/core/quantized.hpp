// Queries and keys in fp8 with their scales: what a producer writes and fp8 attention reads.
#pragma once
#include <concepts>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// Tokens of one head that share a scale; the last block of a tensor may be shorter.
inline constexpr index_t quantization_block_tokens = 128;

/// Blocks that `tokens` tokens make.
constexpr index_t quantization_blocks(index_t tokens) {
  return (tokens + quantization_block_tokens - 1) / quantization_block_tokens;
}

/// fp8_e4m3 or const fp8_e4m3.
template <class T>
concept QuantizedElement = std::same_as<std::remove_const_t<T>, fp8_e4m3>;

/// (batch, tokens, heads, dim) as scales.row(batch, token / quantization_block_tokens, head)[0] * values, any
/// strides. T and the scales are const together.
template <QuantizedElement T>
struct QuantizedHeads {
  using Scale = std::conditional_t<std::is_const_v<T>, const float, float>;

  HeadsView<T> values;      ///< (batch, tokens, heads, dim)
  HeadsView<Scale> scales;  ///< (batch, blocks, heads, 1)

  /// (batch, heads, tokens, dim) and (batch, heads, blocks) in memory.
  static constexpr QuantizedHeads head_major(T* values, Scale* scales, index_t batch, index_t tokens,
                                             index_t heads, index_t dim) {
    return {HeadsView<T>::head_major(values, batch, tokens, heads, dim),
            HeadsView<Scale>::head_major(scales, batch, quantization_blocks(tokens), heads, 1)};
  }
  constexpr Scale& scale(index_t b, index_t block, index_t h) const { return *scales.row(b, block, h); }
  template <AddsConst<T> U>
  constexpr operator QuantizedHeads<U>() const {
    return {values, scales};
  }
};

/// Throws RequestError unless there is one scale for each head and block. `name` is what the message calls
/// them.
template <class T>
void require_scales_fit(const char* name, const QuantizedHeads<T>& heads) {
  const auto& [values, scales] = heads;
  const index_t blocks = quantization_blocks(values.tokens);
  require(scales.batch == values.batch && scales.tokens == blocks && scales.heads == values.heads &&
              scales.dim == 1,
          [&] {
            return std::string(name) + " are " + shape_text(values) + " and their scales " +
                   shape_text(scales) + "; they need scales of " +
                   extents_text({values.batch, blocks, values.heads, 1});
          });
}

/// How a block is stored: fp8_e4m3(value * inverse), read as scale * fp8.
struct BlockScale {
  float scale = 1, inverse = 1;

  /// For a block whose largest magnitude is `largest`: scale = largest / 448, so that it becomes fp8's
  /// largest number. 1 for a block of zeros, and for one so near to it (1e-30) that the inverse would
  /// overflow.
  static constexpr BlockScale of(float largest) {
    if (!(largest >= 1e-30f)) return {};
    return {largest / 448.0f, 448.0f / largest};
  }
};

}  // namespace stepvideo
