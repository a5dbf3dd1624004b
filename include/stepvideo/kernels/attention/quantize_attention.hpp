// Attention's operands in fp8: queries and keys with a scale per head and block of tokens, values transposed
// with a scale per head and channel.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/tile/alignment.hpp>
#include <stepvideo/kernels/tile/hadamard.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// Values for the second product, whose fp8 operands both run along the keys. Value (b, t, h, c) is
/// means.row(b, 0, h)[c] + scales.row(b, 0, h)[c] * codes.row(b, c, h)[quantized_value_position(t)];
/// positions of tokens past the end hold zeros. T and the parameters are const together.
template <QuantizedElement T>
struct QuantizedValues {
  using Parameter = std::conditional_t<std::is_const_v<T>, const float, float>;

  HeadsView<T> codes;           ///< (batch, channels, heads, padded tokens)
  HeadsView<Parameter> scales;  ///< (batch, 1, heads, channels)
  HeadsView<Parameter> means;   ///< (batch, 1, heads, channels)
  index_t tokens = 0;

  static constexpr index_t padded_tokens(index_t tokens) {
    return quantization_blocks(tokens) * quantization_block_tokens;
  }
  /// (batch, heads, channels, padded tokens) and (batch, heads, channels) in memory.
  static constexpr QuantizedValues head_major(T* codes, Parameter* scales, Parameter* means, index_t batch,
                                              index_t tokens, index_t heads, index_t dim) {
    return {HeadsView<T>::head_major(codes, batch, dim, heads, padded_tokens(tokens)),
            HeadsView<Parameter>::dense(scales, batch, 1, heads, dim),
            HeadsView<Parameter>::dense(means, batch, 1, heads, dim), tokens};
  }
  template <AddsConst<T> U>
  constexpr operator QuantizedValues<U>() const {
    return {codes, scales, means, tokens};
  }
};

/// Where a token's values lie along a row of codes. In each run of 16, the four tokens 2 q, 2 q + 1, 8 + 2 q
/// and 9 + 2 q, whose scores one thread of the first product's accumulator holds, lie side by side: four
/// bytes of the second product's left operand.
constexpr index_t quantized_value_position(index_t token) {
  const index_t in_run = token % 16;
  return token - in_run + in_run % 8 / 2 * 4 + in_run / 8 * 2 + in_run % 2;
}

/// How operands are quantised, and which of their tokens count.
struct QuantizeOptions {
  /// Turn queries and keys by the Walsh-Hadamard matrix: scores stay and outliers spread over all channels.
  bool rotate = true;
  /// Subtract a head's mean key, which changes all scores of a query alike, and its mean value, which the
  /// result gets back: a common offset would take fp8's precision away from what differs.
  bool center = true;
  /// One number of tokens per batch element, or none: the tokens after it are taken as zeros. The lengths lie
  /// in the memory of the execution that quantises, where the host cannot judge them: one below zero counts
  /// as zero, one beyond the tokens as all of them.
  VectorView<const index_t> lengths{};

  constexpr index_t visible(index_t batch, index_t tokens) const {
    return lengths.data == nullptr ? tokens : std::clamp<index_t>(lengths[batch], 0, tokens);
  }
};

inline void require_lengths_fit(const char* kernel, const QuantizeOptions& options, index_t batch) {
  const auto& lengths = options.lengths;
  require(lengths.data == nullptr ? lengths.size == 0 : lengths.size == batch, [&] {
    return std::string(kernel) + ": there are " + std::to_string(lengths.size) + " lengths" +
           (lengths.data == nullptr ? " without data" : "") + " for a batch of " + std::to_string(batch) +
           "; each element needs one, or there are none";
  });
}

/// What mean_of_heads requires, on any execution.
template <class T>
void require_mean_of_heads_shapes(HeadsView<const T> in, HeadsView<float> means,
                                  const QuantizeOptions& options) {
  require(means.batch == in.batch && means.tokens == 1 && means.heads == in.heads && means.dim == in.dim,
          [&] {
            return "mean_of_heads: in is " + shape_text(in) + " and means are " + shape_text(means) +
                   "; they must have one row for each head";
          });
  require_lengths_fit("mean_of_heads", options, in.batch);
  require_data("mean_of_heads: in", in);
  require_data("mean_of_heads: means", means);
}

template <class T>
void require_quantize_heads_shapes(HeadsView<const T> in, HeadsView<const float> means,
                                   const QuantizedHeads<fp8_e4m3>& out, const QuantizeOptions& options) {
  const auto& values = out.values;
  require(in.batch == values.batch && in.tokens == values.tokens && in.heads == values.heads &&
              in.dim == values.dim,
          [&] {
            return "quantize_heads: in is " + shape_text(in) + " and out " + shape_text(values) +
                   "; they must have the same shape";
          });
  require_scales_fit("quantize_heads: the results", out);
  require(means.data == nullptr || (means.batch == in.batch && means.tokens == 1 && means.heads == in.heads &&
                                    means.dim == in.dim),
          [&] {
            return "quantize_heads: in is " + shape_text(in) + " and means are " + shape_text(means) +
                   "; they must have one row for each head";
          });
  require(!options.rotate || has_hadamard(in.dim), [&] {
    return "quantize_heads: a head of " + std::to_string(in.dim) +
           " channels cannot be rotated; a power of two can, or rotate = false";
  });
  require_lengths_fit("quantize_heads", options, in.batch);
  require_data("quantize_heads: in", in);
  require_data("quantize_heads: the codes", values);
  require_data("quantize_heads: the scales", out.scales);
}

template <class T>
void require_quantize_values_shapes(HeadsView<const T> in, const QuantizedValues<fp8_e4m3>& out,
                                    const QuantizeOptions& options) {
  const auto& codes = out.codes;
  const index_t padded = QuantizedValues<fp8_e4m3>::padded_tokens(in.tokens);
  require(codes.batch == in.batch && codes.tokens == in.dim && codes.heads == in.heads &&
              codes.dim == padded && out.tokens == in.tokens,
          [&] {
            return "quantize_values: in is " + shape_text(in) + " and its codes " + shape_text(codes) +
                   " for " + std::to_string(out.tokens) + " tokens; they need " +
                   extents_text({in.batch, in.dim, in.heads, padded});
          });
  for (const auto& parameter : {out.scales, out.means})
    require(parameter.batch == in.batch && parameter.tokens == 1 && parameter.heads == in.heads &&
                parameter.dim == in.dim,
            [&] {
              return "quantize_values: in is " + shape_text(in) + " and its scales or means " +
                     shape_text(parameter) + "; both need one row for each head";
            });
  require_lengths_fit("quantize_values", options, in.batch);
  require_data("quantize_values: in", in);
  require_data("quantize_values: the codes", codes);
  require_data("quantize_values: the scales", out.scales);
  require_data("quantize_values: the means", out.means);
}

/// What keeps the device's quantize_heads from moving 16 bytes at a time, its fast path; nothing where it
/// does.
template <class T>
Misalignment quantize_heads_misalignment(HeadsView<const T> in, const QuantizedHeads<fp8_e4m3>& out) {
  return first_of(misalignment("in", in), misalignment("the codes", out.values));
}
/// The same of quantize_values and of mean_of_heads.
template <class T>
Misalignment quantize_values_misalignment(HeadsView<const T> in) {
  return misalignment("in", in);
}

/// Sum, least and largest of a channel, and what follows from them.
struct ChannelExtent {
  float sum, least, largest;

  static constexpr ChannelExtent none() {
    return {0, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  }

  constexpr void add(float value) {
    sum += value;
    least = value < least ? value : least;
    largest = value > largest ? value : largest;
  }
  constexpr void add(const ChannelExtent& other) {
    sum += other.sum;
    least = other.least < least ? other.least : least;
    largest = other.largest > largest ? other.largest : largest;
  }
  constexpr float mean(index_t count) const { return count > 0 ? sum / static_cast<float>(count) : 0.0f; }
  /// What to subtract from values before they are rounded: their mean, or zero where it is small beside them.
  /// Errors of values that lie symmetrically about zero cancel in sums, and a small shift would spoil that.
  constexpr float center(index_t count) const {
    const float mean_value = mean(count), limit = radius(0.0f) / 64;
    return mean_value > limit || -mean_value > limit ? mean_value : 0.0f;
  }
  /// The largest distance from `center`; zero where there was no number.
  constexpr float radius(float center) const {
    const float up = largest - center, down = center - least;
    const float radius = up > down ? up : down;
    return radius > 0 ? radius : 0.0f;
  }
};

/// Bytes that quantize_values and mean_of_heads need to sum up `in`; the host needs none.
template <class T>
std::size_t channel_extents_workspace(Host, HeadsView<const T>) {
  return 0;
}

}  // namespace stepvideo

namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Sums in runs of 64 tokens, so that the rounding error does not grow with their number.
template <class T>
void add_channels(HeadsView<const T> in, index_t batch, index_t head, index_t visible,
                  std::vector<ChannelExtent>& extents) {
  extents.assign(static_cast<std::size_t>(in.dim), ChannelExtent::none());
  std::vector<ChannelExtent> run(extents.size());
  for (index_t first = 0; first < visible; first += 64) {
    std::fill(run.begin(), run.end(), ChannelExtent::none());
    for (index_t token = first; token < std::min(first + 64, visible); ++token)
      for (index_t i = 0; i < in.dim; ++i)
        run[static_cast<std::size_t>(i)].add(float(in.row(batch, token, head)[i]));
    for (std::size_t i = 0; i < extents.size(); ++i) extents[i].add(run[i]);
  }
}

}  // namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// means.row(b, 0, h) = the mean of a head's visible rows, zero where it is small (ChannelExtent::center), in
/// float32. in (batch, tokens, heads, dim), means (batch, 1, heads, dim). Throws RequestError where shapes
/// disagree.
template <Element T>
void mean_of_heads(Host, std::type_identity_t<HeadsView<const T>> in, const QuantizeOptions& options,
                   HeadsView<float> means, Workspace = {}) {
  require_mean_of_heads_shapes<T>(in, means, options);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t head = 0; head < in.heads; ++head) {
      std::vector<ChannelExtent> extents;
      const index_t visible = options.visible(batch, in.tokens);
      attention_detail::add_channels(in, batch, head, visible, extents);
      for (index_t i = 0; i < in.dim; ++i)
        means.row(batch, 0, head)[i] = extents[static_cast<std::size_t>(i)].center(visible);
    }
}

/// Rows minus their head's mean (`means` may have no data), rotated if asked, in blocks of 128 tokens whose
/// largest magnitude becomes 448. in and out (batch, tokens, heads, dim), any strides. Throws RequestError
/// where shapes disagree.
template <Element T>
void quantize_heads(Host, std::type_identity_t<HeadsView<const T>> in, HeadsView<const float> means,
                    const QuantizeOptions& options, const QuantizedHeads<fp8_e4m3>& out) {
  require_quantize_heads_shapes<T>(in, means, out, options);
#pragma omp parallel for collapse(3) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t head = 0; head < in.heads; ++head)
      for (index_t block = 0; block < quantization_blocks(in.tokens); ++block) {
        const index_t first = block * quantization_block_tokens, visible = options.visible(batch, in.tokens);
        const index_t end = std::min(first + quantization_block_tokens, in.tokens);
        std::vector<float> rows(static_cast<std::size_t>((end - first) * in.dim), 0.0f);
        float largest = 0;
        for (index_t token = first; token < std::min(end, visible); ++token) {
          const T* source = in.row(batch, token, head);
          float* row = rows.data() + (token - first) * in.dim;
          for (index_t i = 0; i < in.dim; ++i)
            row[i] = float(source[i]) - (means.data == nullptr ? 0.0f : means.row(batch, 0, head)[i]);
          if (options.rotate) hadamard(row, in.dim);
          for (index_t i = 0; i < in.dim; ++i) largest = std::max(largest, std::abs(row[i]));
        }
        const Fp8Scale scale = Fp8Scale::of(largest);
        out.scale(batch, block, head) = scale.scale;
        for (index_t token = first; token < end; ++token)
          for (index_t i = 0; i < in.dim; ++i)
            out.values.row(batch, token, head)[i] =
                fp8_e4m3(rows[static_cast<std::size_t>((token - first) * in.dim + i)] * scale.inverse);
      }
}

/// Values minus their channel's mean (not without `center`, and not where it is small:
/// ChannelExtent::center), each channel of a head with a scale that makes its largest magnitude 448,
/// transposed as QuantizedValues says. in (batch, tokens, heads, dim), any strides; `options.rotate` means
/// nothing here. Throws RequestError where shapes disagree.
template <Element T>
void quantize_values(Host, std::type_identity_t<HeadsView<const T>> in, const QuantizeOptions& options,
                     const QuantizedValues<fp8_e4m3>& out, Workspace = {}) {
  require_quantize_values_shapes<T>(in, out, options);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t head = 0; head < in.heads; ++head) {
      std::vector<ChannelExtent> extents;
      const index_t visible = options.visible(batch, in.tokens);
      attention_detail::add_channels(in, batch, head, visible, extents);
      for (index_t i = 0; i < in.dim; ++i) {
        const auto& extent = extents[static_cast<std::size_t>(i)];
        const float mean = options.center ? extent.center(visible) : 0.0f;
        const float scale = Fp8Scale::of(extent.radius(mean)).scale, inverse = 1.0f / scale;
        out.means.row(batch, 0, head)[i] = mean;
        out.scales.row(batch, 0, head)[i] = scale;
        for (index_t token = 0; token < out.codes.dim; ++token)
          out.codes.row(batch, i, head)[quantized_value_position(token)] =
              fp8_e4m3(token < visible ? (float(in.row(batch, token, head)[i]) - mean) * inverse : 0.0f);
      }
    }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
