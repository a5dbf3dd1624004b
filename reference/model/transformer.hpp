// Step-Video-T2V's video transformer: one template over the element type and the execution.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/gated_layer_norm.hpp>
#include <stepvideo/kernels/norm/gated_residual.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "model/block_store.hpp"
#include "model/packed_views.hpp"
#include "model/tap.hpp"
#include "model/transformer_layout.hpp"
#include "model/transformer_ranks.hpp"
#include "model/transformer_text.hpp"
#include "model/transformer_weights.hpp"

namespace stepvideo::model {

/// Predicts the velocity of a latent video. Views lie in the memory of the execution; inputs and outputs are
/// float32, arithmetic in between is T's with float32 sums. An element of a batch gets the bits that it gets
/// alone. A rank of several computes its share of a pass, and every call is one of all ranks together, or of
/// those that work on the same prompts: each gives the whole latents and gets the whole velocity.
template <Element T, Execution E, class Tap = NoTap, Communicator C = OneRank<E>>
class Transformer {
 public:
  using Text = PreparedText<T, E>;

  /// `source` has the tensors that are expected of `config`, and of the blocks' matrices the rank's part
  /// (SharedSource). The communicator outlives this. Throws RequestError where the mesh is not for its ranks
  /// or more than the heads go round.
  Transformer(E execution, const TransformerConfig& config, WeightSource<E>&& source, C& communicator,
              Mesh mesh, RopeAngles angles = RopeAngles::exact, Tap tap = {})
      : execution_(execution),
        config_(config),
        angles_(angles),
        tap_(std::move(tap)),
        ranks_(communicator, mesh, config),
        weights_(TransformerWeights<T, E>::load({execution, source}, config)),
        blocks_(std::make_unique<ResidentBlocks<T, E>>(execution, config, ranks_.block(), source)) {}

  /// On one rank.
  Transformer(E execution, const TransformerConfig& config, WeightSource<E>&& source,
              RopeAngles angles = RopeAngles::exact, Tap tap = {}) requires std::same_as<C, OneRank<E>>
      : Transformer(execution, config, std::move(source), alone, Mesh{}, angles, std::move(tap)) {}

  /// On the host. Throws RequestError listing the tensors of `checkpoint` that do not fit `config`.
  Transformer(E execution, const TransformerConfig& config, const io::Checkpoint& checkpoint,
              RopeAngles angles = RopeAngles::exact,
              Tap tap = {}) requires std::same_as<E, Host> && std::same_as<C, OneRank<E>>
      : Transformer(execution, config, CheckpointSource(checkpoint, expected_tensors(config)), angles,
                    std::move(tap)) {}

  const TransformerConfig& config() const { return config_; }
  /// What the rank has of a pass over `tokens`.
  TransformerShare share(index_t batch, index_t tokens) const { return ranks_.share(batch, tokens); }

  /// The text of a batch, once per prompt: llm (batch, tokens, llm_width), clip (batch, tokens, clip_width),
  /// and for each element the keys it has of [CLIP | LLM], on the host. What blocks make of it stays for the
  /// next step where it takes no more than `spare_bytes`, and is made again where not, with the same bits.
  /// Throws RequestError where they disagree.
  Text prepare_text(TokensView<const float> llm, TokensView<const float> clip,
                    std::span<const index_t> key_lengths, std::size_t spare_bytes = any_number_of_bytes) {
    return model::prepare_text(execution_, config_, ranks_.block(), weights_, llm, clip, key_lengths,
                               spare_bytes, tap_);
  }

  /// velocity = f(latents, times, text): times (batch) in [0, 1). Sizes may change from call to call; buffers
  /// only grow. `between_blocks`, where there is one, is called each time a block's work has been given to
  /// the execution, with the block's number; what it throws ends the pass. Throws RequestError where shapes
  /// disagree.
  void forward(LatentsView<const float> latents, VectorView<const float> times, Text& text,
               LatentsView<float> velocity, const std::function<void(int)>& between_blocks = {}) {
    require_inputs(latents, times, text, velocity);
    all_tokens_ = latents.shape.tokens();
    const Activations at = make_room(latents.batch, latents.shape.tokens());
    if (!(rope_.shape() == latents.shape))
      rope_ = make_rope_table<T>(execution_, latents.shape, RopeSplit::of_head(config_.heads.dim), angles_);

    modulate(times, at);
    const auto patches = ranks_.tokens_of(execution_, latents, at.patches);  // (batch, tokens, in channels)
    multiply(patches, weights_.patch.weight.matrix(), Bias<float>{weights_.patch.bias.vector()},
             at.stream);  // (batch, tokens, width)
    tap_("pos_embed", at.stream);
    const Norm first = norm_before(0, at);
    layer_norm(execution_, at.stream, first.terms, first.epsilon, at.normed);
    for (int block = 0; block < config_.layers; ++block) {
      run_block(block, text, latents.shape.tokens(), at);
      if (between_blocks) between_blocks(block);
    }
    multiply(at.normed, weights_.proj_out.weight.matrix(), Bias<float>{weights_.proj_out.bias.vector()},
             at.results);  // (batch, tokens, out channels)
    tap_("proj_out", at.results);
    ranks_.to_latents(execution_, at.results, velocity);
  }

 private:
  using Activations = TransformerActivations<T>;

  struct Norm {
    LayerNormTerms<T> terms;
    float epsilon;
  };

  Activations make_room(index_t batch, index_t tokens) {
    const TransformerLayout layout(config_, share(batch, tokens), sizeof(T));
    if (layout.bytes() > memory_.size_bytes()) {
      memory_ = {};  // before the larger one is taken
      memory_ = Buffer<std::byte, E>(execution_, static_cast<index_t>(layout.bytes()));
    }
    return layout.template over<T>(memory_.data());
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

  /// A product of tokens, for each batch element: a matrix library may choose its order of summation by the
  /// number of rows, and an element's bits must not depend on what else is in the batch, nor on which of the
  /// video's tokens are here.
  template <class In, class Epilogue, class Out>
  void multiply(TokensView<In> in, MatrixView<const In> weight, const Epilogue& epilogue,
                TokensView<Out> out) const {
    for (index_t element = 0; element < in.batch; ++element)
      linear(execution_, rows_of(in, element), weight, epilogue, rows_of(out, element), of_all_tokens());
  }
  LinearOptions of_all_tokens() const { return {.planned_rows = all_tokens_}; }

  /// Every block's shifts, scales and gates, from the time.
  void modulate(VectorView<const float> times, const Activations& at) const {
    const auto layer = [&](TokensView<float> in, const BiasedLinear<float, E>& weights, auto&& epilogue,
                           TokensView<float> out) {
      for (index_t element = 0; element < in.batch; ++element)
        linear(execution_, rows_of(in, element), weights.weight.matrix(),
               chain(Bias<float>{weights.bias.vector()}, epilogue), rows_of(out, element));
    };
    timestep_sinusoids(execution_, times, at.sinusoids.rows());
    layer(at.sinusoids, weights_.time_in, Activate<Silu>{}, at.time_hidden);
    layer(at.time_hidden, weights_.time_out, Store{}, at.time);
    convert(execution_, TokensView<const float>(at.time), at.activated, Silu{});
    layer(at.activated, weights_.modulation, Store{}, at.adaln);  // (batch, 1, 6 x width)
    tap_("adaln_single", at.adaln);
    for (int block = 0; block < config_.layers; ++block)
      add_table(execution_, at.adaln.rows(), weights_.of(block).scale_shift_table.matrix(),
                at.modulations_of(block));
    add_table(execution_, at.time.rows(), weights_.scale_shift_table.matrix(),
              at.modulations_of(config_.layers));
  }

  /// The norm that a block begins with; behind the last block, the one before the output.
  Norm norm_before(int block, const Activations& at) const {
    const auto shift = at.modulation(block, 0), scale = at.modulation(block, 1);
    if (block == config_.layers) return {{.scale = scale, .shift = shift}, 1e-6f};
    const auto& weights = weights_.of(block);
    return {{weights.norm1_weight.vector(), weights.norm1_bias.vector(), scale, shift}, block_epsilon};
  }

  /// From the block's first norm in `normed` to that of the block behind it; all ranks have `all_tokens`.
  void run_block(int block, Text& text, index_t all_tokens, const Activations& at) {
    const BlockTerms<T, E>& terms = weights_.of(block);
    const BlockViews<T> matrices = blocks_->acquire(execution_, block);
    const auto tap = [&](const char* part, const auto& view) {
      tap_("transformer_blocks.", block, part, view);
    };
    const HeadShape heads = ranks_.heads();
    const auto part_of = [&](const auto& view) { return ranks_.part(view); };
    const auto head = [&](TokensView<T> view) { return packed_heads(view, heads, 1, 0); };
    const auto part = [&](index_t p) { return packed_heads(at.qkv, heads, 3, static_cast<int>(p)); };

    multiply(at.normed, matrices.wqkv, Store{}, at.qkv);  // [q | k | v] x heads
    tap(".attn1.wqkv", at.qkv);
    qk_norm_rope(execution_, whole_heads(at.qkv, heads, 3),
                 QkNorm<T>{terms.query_norm.vector(), terms.key_norm.vector(), qk_epsilon},
                 ranks_.local(rope_.view()), QkvOutput<T>{part(0), part(1)});
    ranks_.attend(execution_, part(0), part(1), part(2), head(at.attended), all_tokens);
    multiply(at.attended, matrices.wo, Store{}, at.delta);
    ranks_.add_up_part(execution_, at.delta);
    tap(".attn1", at.delta);
    gated_residual(execution_, part_of(at.delta), at.modulation(block, 2), part_of(at.stream),
                   part_of(at.rounded));
    ranks_.gather_parts(execution_, at.rounded);

    const auto queries = head(at.queries);
    multiply(at.rounded, matrices.cross_wq, Store{}, at.queries);
    rms_norm(execution_, queries, terms.cross_query_norm.vector(), qk_epsilon, queries);
    const TextKeys<T> keys =
        text.keys_values(block, matrices.cross_wkv, terms.cross_key_norm.vector(), qk_epsilon);
    attention(execution_, queries, keys.keys, keys.values, text.mask(), head(at.attended), {});
    multiply(at.attended, matrices.cross_wo, Store{}, at.delta);
    ranks_.add_up_part(execution_, at.delta);
    tap(".attn2", at.delta);
    const LayerNormTerms<T> norm2{terms.norm2_weight.vector(), terms.norm2_bias.vector(),
                                  at.modulation(block, 4), at.modulation(block, 3)};
    gated_residual_layer_norm(execution_, part_of(at.delta), {}, part_of(at.stream), norm2, block_epsilon,
                              part_of(at.normed));
    ranks_.gather_parts(execution_, at.normed);
    tap(".attn2.residual", at.stream);

    feed_forward(matrices, at);
    ranks_.add_up_part(execution_, at.delta);
    tap(".ff", at.delta);
    const Norm next = norm_before(block + 1, at);
    gated_residual_layer_norm(execution_, part_of(at.delta), at.modulation(block, 5), part_of(at.stream),
                              next.terms, next.epsilon, part_of(at.normed));
    ranks_.gather_parts(execution_, at.normed);
    tap("", at.stream);
    blocks_->release(execution_, block);
  }

  /// A part of an element's tokens at a time, as many as the hidden layer has room for.
  void feed_forward(const BlockViews<T>& matrices, const Activations& at) const {
    for (index_t element = 0; element < at.normed.batch; ++element)
      for (index_t first = 0; first < at.normed.tokens; first += at.hidden.rows) {
        MatrixView<T> hidden = at.hidden;
        hidden.rows = std::min(hidden.rows, at.normed.tokens - first);
        linear(execution_, rows_of(at.normed, element, first, hidden.rows), matrices.feed_forward_in,
               Activate<GeluTanh>{}, hidden, of_all_tokens());
        linear(execution_, hidden, matrices.feed_forward_out, Store{},
               rows_of(at.delta, element, first, hidden.rows), of_all_tokens());
      }
  }

  static constexpr float block_epsilon = 1e-5f, qk_epsilon = 1e-6f;
  static inline OneRank<E> alone;  // has no state

  E execution_;
  TransformerConfig config_;
  RopeAngles angles_;
  Tap tap_;
  TransformerRanks<T, C> ranks_;
  TransformerWeights<T, E> weights_;
  std::unique_ptr<BlockStore<T, E>> blocks_;
  index_t all_tokens_ = 0;  // of an element of the pass: what algorithms are chosen for
  RopeTable<E> rope_;
  Buffer<std::byte, E> memory_;
};

extern template class Transformer<float, Host>;
extern template class Transformer<bf16, Host>;

}  // namespace stepvideo::model
