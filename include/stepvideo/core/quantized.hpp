// fp8 with its scales: rows for matrix products, blocks of tokens of a head for attention.
#pragma once
#include <concepts>
#include <limits>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/require_data.hpp>
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
  const auto& values = heads.values;
  const auto& scales = heads.scales;
  const index_t blocks = quantization_blocks(values.tokens);
  require(scales.batch == values.batch && scales.tokens == blocks && scales.heads == values.heads &&
              scales.dim == 1,
          [&] {
            return std::string(name) + " are " + shape_text(values) + " and their scales " +
                   shape_text(scales) + "; they need scales of " +
                   extents_text({values.batch, blocks, values.heads, 1});
          });
}

/// How values that share a scale are stored: fp8_e4m3(value * inverse), read as scale * fp8. The largest magnitude
/// becomes fp8's largest, 448; the scale is never below the smallest normal float, so that zeros have a finite
/// inverse and stay zeros. NaN stays NaN and leaves the others alone; an infinity makes the scale infinite, so that
/// every value is NaN once scaled back.
struct Fp8Scale {
  static constexpr float largest_element = 448.0f;
  float scale = 1, inverse = 1;

  static constexpr Fp8Scale of(float largest) {
    const float fitted = largest / largest_element, least = std::numeric_limits<float>::min();
    const float scale = fitted < least ? least : fitted;
    return {scale, 1.0f / scale};
  }
  constexpr float operator()(float value) const { return value * inverse; }
};

/// The larger magnitude; NaN is never larger.
struct LargerMagnitude {
  constexpr float operator()(float largest, float value) const {
    const float magnitude = value < 0 ? -value : value;
    return magnitude > largest ? magnitude : largest;
  }
};

/// Rows of fp8 that carry a scale each, what an fp8 matrix product reads:
/// value (b, t, i) = values (b, t, i) * scales[b * tokens + t].
struct ScaledTokensView {
  TokensView<fp8_e4m3> values;
  VectorView<float> scales;  ///< (batch x tokens)

  constexpr float& scale(index_t batch, index_t token) const { return scales[batch * values.tokens + token]; }
};

/// Throws RequestError unless `out` has the shape of `in` and a scale for each of its rows.
template <class In>
void require_scaled_tokens_fit(const char* kernel, TokensView<In> in, ScaledTokensView out) {
  const auto& values = out.values;
  require(in.batch == values.batch && in.tokens == values.tokens && in.width == values.width, [&] {
    return std::string(kernel) + ": in is " + shape_text(in) + " and out " + shape_text(values) +
           "; they must have the same shape";
  });
  require(out.scales.size == in.batch * in.tokens, [&] {
    return std::string(kernel) + ": there are " + std::to_string(out.scales.size) + " scales for " +
           std::to_string(in.batch * in.tokens) + " rows; each row needs one";
  });
  require_data(kernel, "in", in);
  require_data(kernel, "out", values);
  require_data(kernel, "the row of scales", out.scales);
}

}  // namespace stepvideo
