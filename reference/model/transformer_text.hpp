// What the video transformer keeps of a batch of prompts.
#pragma once
#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "model/packed_views.hpp"
#include "model/transformer_layout.hpp"
#include "model/transformer_weights.hpp"

namespace stepvideo::model {

/// For all memory that there is.
inline constexpr std::size_t any_number_of_bytes = std::numeric_limits<std::size_t>::max();

/// What cross-attention reads in a block: (batch, tokens, heads, dim) each, keys normalised.
template <class T>
struct TextKeys {
  HeadsView<const T> keys, values;

  TextKeys of(index_t first, index_t count) const {
    TextKeys part = *this;
    part.keys.data = keys.row(first, 0, 0), part.keys.batch = count;
    part.values.data = values.row(first, 0, 0), part.values.batch = count;
    return part;
  }
};

/// A batch of prompts as the transformer attends to them, with the heads of one rank.
template <Element T, Execution E>
class PreparedText {
 public:
  /// For `tokens` of [CLIP | LLM], of which each element has the first `key_lengths`, on the host, and the
  /// heads of `share`. See TextLayout for `spare_bytes`.
  PreparedText(E execution, const TransformerConfig& config, const BlockShare& share, index_t tokens,
               std::span<const index_t> key_lengths, std::size_t spare_bytes)
      : execution_(execution),
        heads_{.count = static_cast<int>(share.attention_width) / config.heads.dim, .dim = config.heads.dim},
        width_(config.width()),
        batch_(std::ssize(key_lengths)),
        tokens_(tokens),
        layout_(config, TransformerShare{batch_, 0, share}, tokens, sizeof(T), spare_bytes),
        memory_(execution, static_cast<index_t>(layout_.bytes())),
        is_made_(static_cast<std::size_t>(config.layers), false) {
    Buffer<index_t> lengths(batch_);
    std::copy(key_lengths.begin(), key_lengths.end(), lengths.begin());
    lengths_ = transfer(execution, std::move(lengths));
  }

  index_t batch() const { return batch_; }
  /// (batch, tokens, width), for prepare_text to fill.
  TokensView<T> sequence() const { return tokens(layout_.sequence(), width_); }
  /// Of `count` elements from the one at `first` on.
  KeyPrefixMask mask(index_t first, index_t count) const { return {{lengths_.data() + first, count}}; }
  /// Whether the keys and values of all blocks stay.
  bool keeps_blocks() const { return layout_.keeps_blocks(); }

  /// A block's keys and values, from its attn2.wkv and attn2.k_norm unless an earlier call left them. They
  /// hold until the call for another block.
  TextKeys<T> keys_values(int block, MatrixView<const T> weight, VectorView<const T> key_norm,
                          float epsilon) {
    const TokensView<T> packed = tokens(layout_.keys_values(block), 2 * heads_.width());
    const HeadsView<T> keys = packed_heads(packed, heads_, 2, 0);
    if (!is_made_[static_cast<std::size_t>(block)]) {
      for (index_t element = 0; element < batch_; ++element)
        linear(execution_, rows_of(sequence(), element), weight, Store{}, rows_of(packed, element));
      rms_norm(execution_, keys, key_norm, epsilon, keys);
      is_made_[static_cast<std::size_t>(block)] = keeps_blocks();
    }
    return {keys, packed_heads(packed, heads_, 2, 1)};
  }

 private:
  TokensView<T> tokens(std::size_t offset, index_t width) const {
    return TokensView<T>::dense(at_offset<T>(memory_.data(), offset), batch_, tokens_, width);
  }

  E execution_;
  HeadShape heads_;
  index_t width_, batch_, tokens_;
  TextLayout layout_;
  Buffer<std::byte, E> memory_;
  Buffer<index_t, E> lengths_;
  std::vector<bool> is_made_;
};

/// See Transformer::prepare_text.
template <Element T, Execution E, class Tap>
PreparedText<T, E> prepare_text(E execution, const TransformerConfig& config, const BlockShare& share,
                                const TransformerWeights<T, E>& weights, TokensView<const float> llm,
                                TokensView<const float> clip, std::span<const index_t> key_lengths,
                                std::size_t spare_bytes, const Tap& tap) {
  const index_t batch = llm.batch, tokens = clip.tokens + llm.tokens;
  require(batch > 0 && clip.batch == batch && std::ssize(key_lengths) == batch, [&] {
    return fmt::format(
        "the LLM's states have batch {}, CLIP's {}, and there are {} key lengths; they must agree", batch,
        clip.batch, key_lengths.size());
  });
  require(llm.width == config.llm_width && clip.width == config.clip_width, [&] {
    return fmt::format("the LLM's states have {} channels and CLIP's {}; the transformer needs {} and {}",
                       llm.width, clip.width, config.llm_width, config.clip_width);
  });
  for (const index_t length : key_lengths)
    require(length > 0 && length <= tokens, [&] {
      return fmt::format("a prompt has {} keys; 1 to {} work, CLIP's {} and the LLM's {}", length, tokens,
                         clip.tokens, llm.tokens);
    });
  PreparedText<T, E> text(execution, config, share, tokens, key_lengths, spare_bytes);

  const Buffer<T, E> llm_values(execution, batch * llm.tokens * llm.width);
  const Buffer<T, E> clip_values(execution, batch * clip.tokens * clip.width);
  const Buffer<T, E> hidden_values(execution, batch * llm.tokens * config.width());
  const auto llm_states = TokensView<T>::dense(llm_values.data(), batch, llm.tokens, llm.width);
  const auto clip_states = TokensView<T>::dense(clip_values.data(), batch, clip.tokens, clip.width);
  const auto hidden = TokensView<T>::dense(hidden_values.data(), batch, llm.tokens, config.width());
  convert(execution, llm, llm_states);
  convert(execution, clip, clip_states);
  layer_norm(execution, llm_states, {}, 1e-6f, llm_states);
  // The sequence of each element is [CLIP | LLM].
  auto clip_part = text.sequence(), llm_part = text.sequence();
  clip_part.tokens = clip.tokens;
  llm_part.tokens = llm.tokens, llm_part.data = llm_part.row(0, clip.tokens);
  for (index_t element = 0; element < batch; ++element) {
    linear(execution, rows_of(clip_states, element), weights.clip.weight.matrix(),
           Bias<T>{weights.clip.bias.vector()}, rows_of(clip_part, element));
    linear(execution, rows_of(llm_states, element), weights.caption_in.weight.matrix(),
           chain(Bias<T>{weights.caption_in.bias.vector()}, Activate<GeluTanh>{}), rows_of(hidden, element));
    linear(execution, rows_of(hidden, element), weights.caption_out.weight.matrix(),
           Bias<T>{weights.caption_out.bias.vector()}, rows_of(llm_part, element));
  }
  tap("clip_projection", clip_part);
  tap("caption_projection", llm_part);
  return text;
}

}  // namespace stepvideo::model
