// One pass through the video transformer's blocks: one template over the element, the execution, and what the
// products of a block read.
#pragma once
#include <algorithm>
#include <concepts>

#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/fp8_attention.hpp>
#include <stepvideo/kernels/elementwise/quantize_rows.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/linear/scaled_linear.hpp>
#include <stepvideo/kernels/norm/gated_layer_norm.hpp>
#include <stepvideo/kernels/norm/gated_residual.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "model/block_slab.hpp"
#include "model/packed_views.hpp"
#include "model/quantization.hpp"
#include "model/transformer_layout.hpp"
#include "model/transformer_ranks.hpp"
#include "model/transformer_text.hpp"
#include "model/transformer_weights.hpp"

namespace stepvideo::model {

/// What a pass works with, all of which outlives it.
template <Element T, Execution E, class Tap, Communicator C>
struct PassParts {
  E execution;
  const TransformerConfig& config;
  const Quantization& quantization;
  const TransformerWeights<T, E>& weights;
  const Tap& tap;
  TransformerRanks<T, C>& ranks;
  PreparedText<T, E>& text;
  RopeTableView rope;
  Buffer<std::byte, E>& scratch;
  index_t all_tokens = 0;       ///< of an element: what algorithms of products are chosen for
  bool attends_in_fp8 = false;  ///< blocks that can
  bool takes_turns = false;     ///< others use the memory between blocks, but for the stream
};

template <Element T, Execution E, class Tap, Communicator C>
class TransformerPass {
 public:
  TransformerPass(const PassParts<T, E, Tap, C>& parts, const TransformerActivations<T>& at)
      : of_(parts), at_(at) {}

  const TransformerActivations<T>& at() const { return at_; }

  /// From the latents of all elements to the first block's.
  void begin(LatentsView<const float> latents) const {
    const auto patches = of_.ranks.tokens_of(of_.execution, own(latents), at_.patches);
    multiply(patches, of_.weights.patch.weight.matrix(), Bias<float>{of_.weights.patch.bias.vector()},
             at_.stream);
    of_.tap("pos_embed", at_.stream);
    if (of_.takes_turns) return;
    const Norm first = norm_before(0);
    with_normed_for(0, [&](const auto& normed) {  // every rank still has all of its tokens' stream
      layer_norm(of_.execution, at_.stream, first.terms, first.epsilon, normed);
    });
  }
  /// From the norm behind the last block to the velocities.
  void end(LatentsView<float> velocity) const {
    if (of_.takes_turns) normalise(of_.config.layers);
    multiply(at_.normed, of_.weights.proj_out.weight.matrix(),
             Bias<float>{of_.weights.proj_out.bias.vector()}, at_.results);
    of_.tap("proj_out", at_.results);
    of_.ranks.to_latents(of_.execution, at_.results, own(velocity));
  }

  /// A block, with products of W.
  template <class W>
  void run(int block, const BlockViews<T, W>& matrices) const {
    const BlockTerms<T, E>& terms = of_.weights.of(block);
    const auto tap = [&](const char* part, const auto& view) {
      of_.tap("transformer_blocks.", block, part, view);
    };
    if (of_.takes_turns) normalise(block);

    multiply(left_for<W>(at_.normed), matrices.wqkv, Store{}, at_.qkv);  // [q | k | v] x heads
    tap(".attn1.wqkv", at_.qkv);
    const bool is_fp8 = of_.attends_in_fp8 && of_.quantization.attends(block);
    const TokensView<T> attended = is_fp8 ? attend_in_fp8(terms) : attend(terms);
    multiply(operand<W>(attended, is_fp8 ? at_.fp8.attended_of_back : at_.fp8.attended_of_front), matrices.wo,
             Store{}, at_.delta);
    of_.ranks.add_up_part(of_.execution, at_.delta);
    tap(".attn1", at_.delta);
    leave(left_for<W>(at_.rounded), [&](const auto& rounded) {
      gated_residual(of_.execution, part(at_.delta), at_.modulation(block, 2), part(at_.stream), rounded);
    });

    const auto queries = packed_heads(at_.queries, of_.ranks.heads(), 1, 0);
    multiply(left_for<W>(at_.rounded), matrices.cross_wq, Store{}, at_.queries);
    rms_norm(of_.execution, queries, terms.cross_query_norm.vector(), qk_epsilon, queries);
    const index_t first = at_.first, count = at_.stream.batch;
    const TextKeys<T> keys =
        of_.text.keys_values(block, matrices.cross_wkv, terms.cross_key_norm.vector(), qk_epsilon)
            .of(first, count);
    attention(of_.execution, queries, keys.keys, keys.values, of_.text.mask(first, count),
              packed_heads(at_.attended, of_.ranks.heads(), 1, 0), {});
    multiply(operand<W>(at_.attended, at_.fp8.attended_of_front), matrices.cross_wo, Store{}, at_.delta);
    of_.ranks.add_up_part(of_.execution, at_.delta);
    tap(".attn2", at_.delta);
    const LayerNormTerms<T> norm2{terms.norm2_weight.vector(), terms.norm2_bias.vector(),
                                  at_.modulation(block, 4), at_.modulation(block, 3)};
    leave(left_for<W>(at_.normed), [&](const auto& normed) {
      gated_residual_layer_norm(of_.execution, part(at_.delta), {}, part(at_.stream), norm2, block_epsilon,
                                normed);
    });
    tap(".attn2.residual", at_.stream);

    feed_forward(matrices);
    of_.ranks.add_up_part(of_.execution, at_.delta);
    tap(".ff", at_.delta);
    const auto gate = at_.modulation(block, 5);
    if (of_.takes_turns) {
      gated_residual(of_.execution, part(at_.delta), gate, part(at_.stream), TokensView<T>{});
    } else {
      const Norm next = norm_before(block + 1);
      with_normed_for(block + 1, [&](const auto& whole) {
        leave(whole, [&](const auto& normed) {
          gated_residual_layer_norm(of_.execution, part(at_.delta), gate, part(at_.stream), next.terms,
                                    next.epsilon, normed);
        });
      });
    }
    tap("", at_.stream);
  }

 private:
  struct Norm {
    LayerNormTerms<T> terms;
    float epsilon;
  };

  /// Of a batch's latents those of the elements that are here.
  template <class Value>
  LatentsView<Value> own(LatentsView<Value> all) const {
    return {all.data + at_.first * all.channels * all.shape.tokens(), at_.stream.batch, all.channels,
            all.shape};
  }

  /// A product of tokens, for each batch element: a matrix library may choose its order of summation by the
  /// number of rows, and an element's bits must not depend on what else is in the batch, nor on which of the
  /// video's tokens are here.
  template <class In, class Weight, class Epilogue, class Out>
  void multiply(const In& in, const Weight& weight, const Epilogue& epilogue, TokensView<Out> out) const {
    for (index_t element = 0; element < out.batch; ++element)
      linear(of_.execution, rows_of(in, element), weight, epilogue, rows_of(out, element), of_all_tokens());
  }
  LinearOptions of_all_tokens() const { return {.planned_rows = of_.all_tokens}; }

  /// The norm that a block begins with; behind the last block, the one before the output.
  Norm norm_before(int block) const {
    const auto shift = at_.modulation(block, 0), scale = at_.modulation(block, 1);
    if (block == of_.config.layers) return {{.scale = scale, .shift = shift}, 1e-6f};
    const auto& weights = of_.weights.of(block);
    return {{weights.norm1_weight.vector(), weights.norm1_bias.vector(), scale, shift}, block_epsilon};
  }

  void normalise(int block) const {
    const Norm norm = norm_before(block);
    with_normed_for(block, [&](const auto& whole) {
      leave(whole, [&](const auto& normed) {
        layer_norm(of_.execution, part(at_.stream), norm.terms, norm.epsilon, normed);
      });
    });
  }

  /// Where products of W find what a norm or a residual leaves them: in `plain`, or in the fp8 of its place.
  template <class W>
  auto left_for(TokensView<T> plain) const {
    if constexpr (std::same_as<W, T>) {
      return plain;
    } else {
      return at_.fp8.normed;
    }
  }
  /// The rank's part of the stream and what is added to it, between products.
  template <class View>
  auto part(const View& all) const {
    return of_.ranks.part(all);
  }
  /// function(the rank's part of `whole`) fills that; all of it is there then.
  template <class View, class Function>
  void leave(const View& whole, Function&& function) const {
    function(part(whole));
    of_.ranks.gather_parts(of_.execution, whole);
  }
  /// function(the place) that the products of a block read, or of the output behind the last.
  template <class Function>
  void with_normed_for(int block, Function&& function) const {
    if constexpr (has_fp8<T>)
      if (of_.quantization.multiplies(block)) return function(left_for<fp8_e4m3>(at_.normed));
    function(at_.normed);
  }
  /// What products of W read of `values`: themselves, or their rows in fp8, which are made in `room`.
  template <class W>
  auto operand(TokensView<T> values, const ScaledTokensView& room) const {
    if constexpr (std::same_as<W, T>) {
      return values;
    } else {
      quantize_rows(of_.execution, TokensView<const T>(values), room);
      return room;
    }
  }

  /// Self-attention of what the projection left, to where its result lies.
  TokensView<T> attend(const BlockTerms<T, E>& terms) const {
    of_.ranks.attend(
        of_.execution, at_.qkv,
        [&](HeadsView<const T> packed, const QkvOutput<T>& out) {
          qk_norm_rope(of_.execution, packed, qk_norm(terms), of_.rope, out);
        },
        packed_heads(at_.attended, of_.ranks.heads(), 1, 0), of_.all_tokens);
    return at_.attended;
  }
  /// The same with products of fp8.
  TokensView<T> attend_in_fp8(const BlockTerms<T, E>& terms) const {
    if constexpr (TransformerRanks<T, C>::attends_in_fp8) {
      const HeadsView<const T> values = packed_heads(at_.qkv, of_.ranks.heads(), 3, 2);
      qk_norm_rope(of_.execution, whole_heads(at_.qkv, of_.ranks.heads(), 3), qk_norm(terms), of_.rope,
                   QuantizedQkOutput{at_.fp8.queries, at_.fp8.keys, HeadRotation::hadamard});
      grow(of_.execution, of_.scratch, channel_extents_workspace(of_.execution, values));
      quantize_values<T>(of_.execution, values, {}, at_.fp8.values, Workspace(of_.scratch));
      fp8_attention(of_.execution, QuantizedHeads<const fp8_e4m3>(at_.fp8.queries),
                    QuantizedHeads<const fp8_e4m3>(at_.fp8.keys),
                    QuantizedValues<const fp8_e4m3>(at_.fp8.values), FullMask{},
                    packed_heads(at_.fp8.attended, of_.ranks.heads(), 1, 0), {});
    }
    return at_.fp8.attended;
  }
  static QkNorm<T> qk_norm(const BlockTerms<T, E>& terms) {
    return {terms.query_norm.vector(), terms.key_norm.vector(), qk_epsilon};
  }

  /// A part of an element's tokens at a time, as many as the hidden layer has room for.
  template <class W>
  void feed_forward(const BlockViews<T, W>& matrices) const {
    for (index_t element = 0; element < at_.normed.batch; ++element)
      for (index_t first = 0; first < at_.normed.tokens; first += at_.hidden.rows) {
        const index_t count = std::min(at_.hidden.rows, at_.normed.tokens - first);
        MatrixView<T> hidden = at_.hidden;
        hidden.rows = count;
        const auto in = rows_of(left_for<W>(at_.normed), element, first, count);
        const auto out = rows_of(at_.delta, element, first, count);
        if constexpr (std::same_as<W, T>) {
          linear(of_.execution, in, matrices.feed_forward_in, Activate<GeluTanh>{}, hidden, of_all_tokens());
          linear(of_.execution, hidden, matrices.feed_forward_out, Store{}, out, of_all_tokens());
        } else {
          ScaledTokensView rows = at_.fp8.hidden;
          rows.values.tokens = rows.scales.size = count;
          linear(of_.execution, in, matrices.feed_forward_in, Store{}, hidden, of_all_tokens());
          quantize_rows(of_.execution, TokensView<const T>::dense(hidden.data, 1, count, hidden.columns),
                        rows, GeluTanh{});
          linear(of_.execution, ScaledRows(rows), matrices.feed_forward_out, Store{}, out, of_all_tokens());
        }
      }
  }

  static constexpr float block_epsilon = 1e-5f, qk_epsilon = 1e-6f;

  PassParts<T, E, Tap, C> of_;
  TransformerActivations<T> at_;
};

}  // namespace stepvideo::model
