// Step-Video-T2V's video transformer: one template over the element type and the execution.
#pragma once
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "model/observer.hpp"
#include "model/transformer_text.hpp"
#include "model/transformer_weights.hpp"

namespace stepvideo::model {

/// Predicts the velocity of a latent video. Views lie in the memory of the execution; inputs and outputs are
/// float32, arithmetic in between is T's with float32 sums.
template <Element T, Execution E>
class Transformer {
 public:
  using Text = PreparedText<T, E>;

  /// Throws RequestError listing the tensors of `checkpoint` that do not fit `config`.
  Transformer(E execution, const TransformerConfig& config, const io::Checkpoint& checkpoint,
              RopeAngles angles = RopeAngles::exact)
      : execution_(execution), config_(config), angles_(angles) {
    checkpoint.validate(expected_tensors(config));
    weights_ = TransformerWeights<T, E>::load({execution, checkpoint}, config);
  }

  const TransformerConfig& config() const { return config_; }
  /// Called with intermediate results from the next call on.
  void observe(Observer observer) { observer_ = std::move(observer); }

  /// The text of a batch, once per prompt: llm (batch, tokens, llm_width), clip (batch, tokens, clip_width),
  /// and for each element the keys it has of [CLIP | LLM], on the host. Throws RequestError where they
  /// disagree.
  Text prepare_text(TokensView<const float> llm, TokensView<const float> clip,
                    std::span<const index_t> key_lengths) {
    return model::prepare_text(execution_, config_, weights_, llm, clip, key_lengths, observer_);
  }

  /// velocity = f(latents, times, text): times (batch) in [0, 1). Sizes may change from call to call; buffers
  /// only grow. Throws RequestError where shapes disagree.
  void forward(LatentsView<const float> latents, VectorView<const float> times, const Text& text,
               LatentsView<float> velocity) {
    require_inputs(latents, times, text, velocity);
    Activations at = make_room(latents.batch, latents.shape);
    if (!(rope_.shape() == latents.shape))
      rope_ = make_rope_table<T>(execution_, latents.shape, RopeSplit::of_head(config_.heads.dim), angles_);

    latents_to_tokens(execution_, latents, at.patches);  // (batch, tokens, in channels)
    linear(execution_, at.patches.rows(), weights_.patch.weight.matrix(),
           Bias<T>{weights_.patch.bias.vector()},
           at.x.rows());  // (batch, tokens, width)
    observe("pos_embed", at.x);
    embed_time(times, at);
    for (int layer = 0; layer < config_.layers; ++layer) run_block(layer, text, at);

    const index_t width = config_.width();
    add_table(execution_, at.time, weights_.scale_shift_table.matrix(), at.modulation(2));
    layer_norm(execution_, at.x, {.scale = at.modulation_row(1, width), .shift = at.modulation_row(0, width)},
               1e-6f, at.y);
    if (observer_) observe_norm("norm_out", at, {}, 1e-6f);
    linear(execution_, at.y.rows(), weights_.proj_out.weight.matrix(),
           Bias<T>{weights_.proj_out.bias.vector()},
           at.results.rows());  // (batch, tokens, out channels)
    observe("proj_out", at.results);
    tokens_to_latents(execution_, TokensView<const float>(at.results), velocity);
  }

 private:
  /// Everything a forward pass writes. The qkv projection and the attention's result take turns with the feed
  /// forward's hidden layer in `wide`.
  struct Activations {
    TokensView<T> patches, y, wide, observed;
    // Guidance magnifies what rounding does to the residual stream and to the velocity: they stay float32.
    TokensView<float> x, results;
    MatrixView<float> sinusoids, hidden, time, activated, adaln;
    float* modulations = nullptr;  // (batch, 6 * width)

    MatrixView<float> modulation(index_t rows) const {
      return MatrixView<float>::dense(modulations, time.rows, rows * time.columns);
    }
    /// Row `row` of 2 or 6 modulations, for each batch element.
    MatrixView<const float> modulation_row(index_t row, index_t width, index_t rows = 2) const {
      return {modulations + row * width, time.rows, width, rows * width};
    }
    /// `width` channels of each token of `wide`, from `first` times the width on.
    TokensView<T> slice(index_t first, index_t width) const {
      return {wide.data + first, wide.batch, wide.tokens, width, wide.batch_stride, wide.token_stride};
    }
  };

  template <class Take>
  Activations lay_out(index_t batch, index_t tokens, Take&& take) const {
    const index_t width = config_.width();
    const auto of_tokens = [&]<class Value = T>(index_t channels, Value value = {}) {
      return TokensView<Value>::dense(take(value, batch * tokens * channels), batch, tokens, channels);
    };
    const auto of_batch = [&](index_t channels) {
      return MatrixView<float>::dense(take(float{}, batch * channels), batch, channels);
    };
    Activations at{.patches = of_tokens(config_.in_channels),
                   .y = of_tokens(width),
                   .wide = of_tokens(config_.feed_forward_factor * width),
                   .observed = of_tokens(observer_ ? width : 0),
                   .x = of_tokens(width, float{}),
                   .results = of_tokens(config_.out_channels, float{}),
                   .sinusoids = of_batch(config_.time_channels),
                   .hidden = of_batch(width),
                   .time = of_batch(width),
                   .activated = of_batch(width),
                   .adaln = of_batch(6 * width)};
    at.modulations = take(float{}, batch * 6 * width);
    return at;
  }

  Activations make_room(index_t batch, LatentShape shape) {
    std::size_t bytes = 0;
    lay_out(batch, shape.tokens(), [&]<class Value>(Value, index_t count) {
      bytes += workspace_bytes<Value>(count);
      return static_cast<Value*>(nullptr);
    });
    if (static_cast<index_t>(bytes) > memory_.size()) {
      memory_ = {};  // before the larger one is taken
      memory_ = Buffer<std::byte, E>(execution_, static_cast<index_t>(bytes));
    }
    Workspace workspace(memory_);
    return lay_out(batch, shape.tokens(),
                   [&]<class Value>(Value, index_t count) { return workspace.take<Value>(count); });
  }

  void require_inputs(const LatentsView<const float>& latents, const VectorView<const float>& times,
                      const Text& text, const LatentsView<float>& velocity) const {
    require(latents.channels == config_.in_channels && velocity.channels == config_.out_channels &&
                latents.shape == velocity.shape && latents.batch == velocity.batch,
            [&] {
              return fmt::format(
                  "latents have {} channels and the velocity {}; the transformer maps {} to {} and both "
                  "need the same batch, frames, height and width",
                  latents.channels, velocity.channels, config_.in_channels, config_.out_channels);
            });
    require(latents.batch > 0 && latents.shape.tokens() > 0 && latents.batch == times.size &&
                latents.batch == text.batch(),
            [&] {
              return fmt::format(
                  "latents have batch {} and {} tokens, there are {} times and {} prompts; batches must "
                  "agree and nothing may be empty",
                  latents.batch, latents.shape.tokens(), times.size, text.batch());
            });
  }

  void embed_time(VectorView<const float> times, const Activations& at) const {
    const auto layer = [&](MatrixView<const float> in, const BiasedLinear<float, E>& weights, auto&& epilogue,
                           MatrixView<float> out) {
      linear(execution_, in, weights.weight.matrix(), chain(Bias<float>{weights.bias.vector()}, epilogue),
             out);
    };
    timestep_sinusoids(execution_, times, at.sinusoids);
    layer(at.sinusoids, weights_.time_in, Activate<Silu>{}, at.hidden);
    layer(at.hidden, weights_.time_out, Store{}, at.time);
    convert(execution_, as_tokens(MatrixView<const float>(at.time)), as_tokens(at.activated), Silu{});
    layer(at.activated, weights_.modulation, Store{}, at.adaln);  // (batch, 6 x width)
    observe("adaln_single", as_tokens(at.adaln));
  }

  void run_block(int layer, const Text& text, const Activations& at) const {
    const auto& block = weights_.blocks[static_cast<std::size_t>(layer)];
    const index_t width = config_.width();
    const auto name = [&](const char* part) { return fmt::format("transformer_blocks.{}{}", layer, part); };
    const auto modulation = [&](index_t row) { return at.modulation_row(row, width, 6); };
    const auto gated = [&](index_t row) {
      return GatedResidual<float>{at.x.rows(), modulation(row), at.x.tokens};
    };
    const AttentionOptions options{.scale = 1.0f / std::sqrt(static_cast<float>(config_.heads.dim))};
    const auto attended = at.slice(3 * width, width);  // beside the projection

    add_table(execution_, at.adaln, block.scale_shift_table.matrix(), at.modulation(6));
    const LayerNormTerms<T> norm1{.weight = block.norm1_weight.vector(), .bias = block.norm1_bias.vector()};
    if (observer_) observe_norm(name(".norm1"), at, norm1, 1e-5f);
    layer_norm(execution_, at.x, {norm1.weight, norm1.bias, modulation(1), modulation(0)}, 1e-5f, at.y);

    const auto projected = at.slice(0, 3 * width);
    linear(execution_, at.y.rows(), block.wqkv.matrix(), Store{}, projected.rows());  // [q | k | v] x heads
    const auto queries = packed_heads(projected, config_.heads, 3, 0);
    const auto keys = packed_heads(projected, config_.heads, 3, 1);
    const QkNorm<T> norm{block.query_norm.vector(), block.key_norm.vector(), 1e-6f};
    if (observer_) observe_head_norm(name(".attn1.q_norm"), queries, norm.query_weight, at);
    if (observer_) observe_head_norm(name(".attn1.k_norm"), keys, norm.key_weight, at);
    qk_norm_rope(execution_, whole_heads(projected, config_.heads, 3), norm, rope_.view(),
                 QkvOutput<T>{queries, keys});
    attention(execution_, queries, keys, packed_heads(projected, config_.heads, 3, 2), FullMask{},
              packed_heads(attended, config_.heads, 1, 0), options);
    if (observer_) observe_linear(name(".attn1"), attended, block.wo, at);
    linear(execution_, attended.rows(), block.wo.matrix(), gated(2), at.x.rows());

    const auto cross_queries = packed_heads(at.slice(0, width), config_.heads, 1, 0);
    linear(execution_, rounded_stream(at).rows(), block.cross_wq.matrix(), Store{},
           at.slice(0, width).rows());
    rms_norm(execution_, cross_queries, block.cross_query_norm.vector(), 1e-6f, cross_queries);
    attention(execution_, cross_queries, text.keys(layer), text.values(layer), text.mask(),
              packed_heads(attended, config_.heads, 1, 0), options);
    if (observer_) observe_linear(name(".attn2"), attended, block.cross_wo, at);
    linear(execution_, attended.rows(), block.cross_wo.matrix(), Residual<float>{at.x.rows()}, at.x.rows());

    const LayerNormTerms<T> norm2{.weight = block.norm2_weight.vector(), .bias = block.norm2_bias.vector()};
    if (observer_) observe_norm(name(".norm2"), at, norm2, 1e-5f);
    layer_norm(execution_, at.x, {norm2.weight, norm2.bias, modulation(4), modulation(3)}, 1e-5f, at.y);
    linear(execution_, at.y.rows(), block.feed_forward_in.matrix(), Activate<GeluTanh>{}, at.wide.rows());
    if (observer_) observe_linear(name(".ff"), at.wide, block.feed_forward_out, at);
    linear(execution_, at.wide.rows(), block.feed_forward_out.matrix(), gated(5), at.x.rows());
    observe(name(""), at.x);
  }

  /// The residual stream as matrix products take it: rounded into y, or itself.
  TokensView<const T> rounded_stream(const Activations& at) const {
    if constexpr (std::same_as<T, float>) {
      return at.x;
    } else {
      convert(execution_, TokensView<const float>(at.x), at.y);
      return at.y;
    }
  }

  template <class Value>
  static TokensView<Value> as_tokens(MatrixView<Value> matrix) {
    return {matrix.data, 1, matrix.rows, matrix.columns, 0, matrix.row_stride};
  }

  template <class View>
  void observe(std::string_view name, const View& view) const {
    if (observer_) observer_(name, model::observed(view));
  }
  /// What the fused kernels never store: a norm before its modulation, a projection before its residual.
  void observe_norm(std::string_view name, const Activations& at, const LayerNormTerms<T>& terms,
                    float epsilon) const {
    layer_norm(execution_, at.x, terms, epsilon, at.observed);
    observe(name, at.observed);
  }
  void observe_head_norm(std::string_view name, HeadsView<const T> heads, VectorView<const T> weight,
                         const Activations& at) const {
    const auto normed = packed_heads(at.observed, config_.heads, 1, 0);
    rms_norm(execution_, heads, weight, 1e-6f, normed);
    observe(name, normed);
  }
  void observe_linear(std::string_view name, TokensView<T> in, const Parameter<T, E>& weight,
                      const Activations& at) const {
    linear(execution_, in.rows(), weight.matrix(), Store{}, at.observed.rows());
    observe(name, at.observed);
  }

  E execution_;
  TransformerConfig config_;
  RopeAngles angles_;
  TransformerWeights<T, E> weights_;
  Observer observer_;
  RopeTable<E> rope_;
  Buffer<std::byte, E> memory_;
};

extern template class Transformer<float, Host>;
extern template class Transformer<bf16, Host>;

}  // namespace stepvideo::model
