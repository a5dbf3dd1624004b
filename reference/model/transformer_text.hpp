// What the video transformer keeps of a prompt: every layer's cross-attention keys and values, computed once
// and read at every step.
#pragma once
#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "model/observer.hpp"
#include "model/transformer_weights.hpp"

namespace stepvideo::model {

/// One part of a packed projection whose heads hold `parts` runs of dim channels each.
template <class T>
HeadsView<T> packed_heads(TokensView<T> packed, HeadShape heads, int parts, int part) {
  return {packed.data + part * heads.dim,
          packed.batch,
          packed.tokens,
          heads.count,
          heads.dim,
          packed.batch_stride,
          packed.token_stride,
          parts * heads.dim};
}

/// The heads of such a projection with all of their parts: (batch, tokens, heads, parts * dim).
template <class T>
HeadsView<T> whole_heads(TokensView<T> packed, HeadShape heads, int parts) {
  HeadsView<T> view = packed_heads(packed, heads, parts, 0);
  view.dim *= parts;
  return view;
}

/// A batch of prompts as the transformer attends to them.
template <Element T, Execution E>
class PreparedText {
 public:
  PreparedText() = default;
  PreparedText(E execution, const TransformerConfig& config, std::span<const index_t> key_lengths)
      : heads_(config.heads),
        batch_(std::ssize(key_lengths)),
        tokens_(std::ranges::max(key_lengths)),
        keys_values_(execution, config.layers * batch_ * tokens_ * 2 * config.width()) {
    Buffer<index_t> lengths(batch_);
    std::ranges::copy(key_lengths, lengths.begin());
    lengths_ = transfer(execution, std::move(lengths));
  }

  index_t batch() const { return batch_; }
  /// (batch, tokens, width * 2) of a layer: [k | v] x heads, keys already normalised.
  TokensView<T> keys_values(int layer) const {
    const index_t width = 2 * heads_.width();
    return TokensView<T>::dense(keys_values_.data() + layer * batch_ * tokens_ * width, batch_, tokens_,
                                width);
  }
  HeadsView<T> keys(int layer) const { return packed_heads(keys_values(layer), heads_, 2, 0); }
  HeadsView<T> values(int layer) const { return packed_heads(keys_values(layer), heads_, 2, 1); }
  KeyPrefixMask mask() const { return {lengths_.vector()}; }

 private:
  HeadShape heads_{};
  index_t batch_ = 0, tokens_ = 0;
  Buffer<T, E> keys_values_;
  Buffer<index_t, E> lengths_;
};

/// See Transformer::prepare_text.
template <Element T, Execution E>
PreparedText<T, E> prepare_text(E execution, const TransformerConfig& config,
                                const TransformerWeights<T, E>& weights, TokensView<const float> llm,
                                TokensView<const float> clip, std::span<const index_t> key_lengths,
                                const Observer& observer) {
  const index_t batch = llm.batch, tokens = clip.tokens + llm.tokens, width = config.width();
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
  PreparedText<T, E> text(execution, config, key_lengths);

  Buffer<T, E> llm_values(execution, batch * llm.tokens * llm.width);
  Buffer<T, E> clip_values(execution, batch * clip.tokens * clip.width);
  Buffer<T, E> hidden_values(execution, batch * llm.tokens * width);
  Buffer<T, E> sequence_values(execution, batch * tokens * width);
  const auto llm_states = TokensView<T>::dense(llm_values.data(), batch, llm.tokens, llm.width);
  const auto clip_states = TokensView<T>::dense(clip_values.data(), batch, clip.tokens, clip.width);
  const auto hidden = hidden_values.matrix(batch * llm.tokens, width);
  const auto sequence = TokensView<T>::dense(sequence_values.data(), batch, tokens, width);
  convert(execution, llm, llm_states);
  convert(execution, clip, clip_states);
  layer_norm(execution, llm_states, {}, 1e-6f, llm_states);
  linear(execution, llm_states.rows(), weights.caption_in.weight.matrix(),
         chain(Bias<T>{weights.caption_in.bias.vector()}, Activate<GeluTanh>{}), hidden);

  // The sequence of each element is [CLIP | LLM], so each writes its own run of rows.
  const auto rows_of = [](auto view, index_t element) {
    return MatrixView{view.row(element, 0), view.tokens, view.width, view.token_stride};
  };
  auto clip_part = sequence, llm_part = sequence;
  clip_part.tokens = clip.tokens;
  llm_part.tokens = llm.tokens, llm_part.data = sequence.row(0, clip.tokens);
  for (index_t element = 0; element < batch; ++element) {
    linear(execution, rows_of(clip_states, element), weights.clip.weight.matrix(),
           Bias<T>{weights.clip.bias.vector()}, rows_of(clip_part, element));
    linear(execution, MatrixView<T>{hidden.row(element * llm.tokens), llm.tokens, width, width},
           weights.caption_out.weight.matrix(), Bias<T>{weights.caption_out.bias.vector()},
           rows_of(llm_part, element));
  }
  if (observer) {
    observer("clip_projection", observed(clip_part));
    observer("caption_projection", observed(llm_part));
  }
  for (int layer = 0; layer < config.layers; ++layer) {
    const auto& block = weights.blocks[static_cast<std::size_t>(layer)];
    const auto keys_values = text.keys_values(layer);
    for (index_t element = 0; element < batch; ++element)
      linear(execution, MatrixView<T>{sequence.row(element, 0), keys_values.tokens, width, width},
             block.cross_wkv.matrix(), Store{}, rows_of(keys_values, element));
    rms_norm(execution, text.keys(layer), block.cross_key_norm.vector(), 1e-6f, text.keys(layer));
  }
  return text;
}

}  // namespace stepvideo::model
