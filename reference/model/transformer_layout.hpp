// Where everything lies that a forward pass of the video transformer writes. The executor and the plan count
// the same bytes because they ask the same function.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/attention/quantize_attention.hpp>

#include "model/block_slab.hpp"
#include "model/config.hpp"
#include "model/quantization.hpp"
#include "model/slab.hpp"

namespace stepvideo::model {

/// What one rank has of a forward pass.
struct TransformerShare {
  index_t batch = 0, tokens = 0;
  BlockShare block;
  /// How many of the batch go through a block together. The others wait with their streams alone, and take
  /// their turn in the rest of the memory before the next block begins.
  index_t together = batch;

  /// All of it.
  static TransformerShare whole(const TransformerConfig& config, index_t batch, index_t tokens) {
    return {batch, tokens, BlockShare::whole(config)};
  }
};

/// What a pass makes of the times of a whole batch.
struct TransformerTime {
  /// (batch, 1, channels), from the sinusoids of the time to what all blocks share of their modulations.
  TokensView<float> sinusoids, hidden, embedded, activated, adaln;
  /// Shifts, scales and gates of every block, (blocks, batch, 6 x width), and of the last norm, (batch, 2 x
  /// width).
  float* modulations = nullptr;
  int blocks = 0;

  MatrixView<float> modulations_of(int block) const {
    const index_t rows = block < blocks ? 6 : 2, batch = embedded.batch, width = embedded.width;
    return MatrixView<float>::dense(modulations + block * 6 * batch * width, batch, rows * width);
  }
};

/// What blocks in fp8 have in the places of TransformerActivations, in turn with what stands there. `front`
/// is the place that begins with a norm's result, `back` the one that begins with patches.
template <Element T>
struct Fp8Activations {
  /// Rows for products. In front: what a norm leaves, the rounded stream. What attention left in one place is
  /// quantised into the other, and the hidden layer behind itself.
  ScaledTokensView normed, attended_of_back, attended_of_front, hidden;

  /// For self-attention. In front: queries and keys. Values have a place of their own, since the result lies
  /// in back, where they came from: [q | k | v].
  QuantizedHeads<fp8_e4m3> queries, keys;
  QuantizedValues<fp8_e4m3> values;
  TokensView<T> attended;
};

/// The views of the elements of a forward pass that go through a block together, (batch, tokens, channels)
/// where nothing else is said. Those of one place hold
/// their values in turn, in the order that stands here.
template <Element T>
struct TransformerActivations {
  /// The residual stream. Guidance magnifies what rounding does to it and to the velocity: both stay float32.
  TokensView<float> stream;

  /// One place: what a norm leaves, self-attention, the rounded stream that cross-attention's queries are
  /// made of (the stream itself where nothing is rounded), cross-attention, what the next norm leaves.
  TokensView<T> normed, attended, rounded;

  /// Another: patches; [q | k | v] x heads; what a projection adds to the stream; cross-attention's queries;
  /// what it adds; the hidden layer of a part of an element's tokens, and beside it what the feed forward
  /// adds; the velocity.
  TokensView<T> patches, qkv, delta, queries;
  MatrixView<T> hidden;
  TokensView<float> results;

  Fp8Activations<T> fp8;

  TransformerTime time;

  /// Row `row` of a block's six modulations, or of the last norm's two, for each element that is here.
  MatrixView<const float> modulation(int block, index_t row) const {
    const MatrixView<float> all = time.modulations_of(block);
    return {all.row(first) + row * stream.width, stream.batch, stream.width, all.row_stride};
  }
  index_t first = 0;  ///< of the batch that is here
};

class TransformerLayout {
 public:
  /// For elements of so many bytes.
  TransformerLayout(const TransformerConfig& config, const TransformerShare& share, std::size_t element_bytes,
                    Fp8Parts fp8 = {})
      : config_(config), share_(share), fp8_(fp8) {
    const index_t rows = this->rows(), width = config.width(), local = share.block.attention_width;
    stream_ = slab_.add(groups() * rows * width, sizeof(float));
    Slab front;
    front.add(rows * width, element_bytes);
    if (fp8.attention) front = larger(front, queries_and_keys());
    front_ = slab_.add(static_cast<index_t>(front.bytes()), 1);
    Slab attention, feed_forward, edge;
    attention.add(rows * 3 * local, element_bytes);
    feed_forward.add(hidden_tokens() * share.block.feed_forward, element_bytes);
    if (fp8.products) {
      fp8_hidden_ = feed_forward.add(hidden_tokens() * share.block.feed_forward, 1);
      feed_forward = larger(feed_forward, attended(1));
    }
    if (fp8.attention) feed_forward = larger(feed_forward, attended(element_bytes));
    delta_ = feed_forward.add(rows * width, element_bytes);
    edge.add(rows * std::max(config.in_channels, config.out_channels), sizeof(float));
    back_ = slab_.add(static_cast<index_t>(larger(larger(attention, feed_forward), edge).bytes()), 1);
    if (fp8.products) {
      row_scales_ = slab_.add(rows, sizeof(float));
      hidden_scales_ = slab_.add(hidden_tokens(), sizeof(float));
    }
    if (fp8.attention) {
      head_scales_ = slab_.add(2 * share.together * blocks() * heads(), sizeof(float));
      value_codes_ =
          slab_.add(share.together * local * QuantizedValues<fp8_e4m3>::padded_tokens(share.tokens), 1);
      value_terms_ = slab_.add(2 * share.together * local, sizeof(float));
    }
    time_ = slab_.add(share.batch * (config.time_channels + 9 * width), sizeof(float));
    modulations_ = slab_.add(share.batch * (6 * config.layers + 2) * width, sizeof(float));
  }

  std::size_t bytes() const { return slab_.bytes(); }

  /// How many groups of a batch take turns.
  index_t groups() const { return share_.together > 0 ? share_.batch / share_.together : 1; }

  /// The views over `memory` of bytes(), for elements of the layout's size: those of a group.
  template <Element T>
  TransformerActivations<T> over(std::byte* memory, index_t group = 0) const {
    const index_t width = config_.width(), local = share_.block.attention_width;
    const auto tokens = [&]<class Value>(Value* data, index_t channels) {
      return TokensView<Value>::dense(data, share_.together, share_.tokens, channels);
    };
    T* const front = at_offset<T>(memory, front_);
    T* const back = at_offset<T>(memory, back_);
    TransformerActivations<T> at{
        .stream = tokens(at_offset<float>(memory, stream_) + group * rows() * width, width),
        .normed = tokens(front, width),
        .attended = tokens(front, local),
        .rounded = tokens(front, width),
        .patches = tokens(back, config_.in_channels),
        .qkv = tokens(back, 3 * local),
        .delta = tokens(at_offset<T>(memory, back_ + delta_), width),
        .queries = tokens(back, local),
        .hidden = MatrixView<T>::dense(back, hidden_tokens(), share_.block.feed_forward),
        .results = tokens(at_offset<float>(memory, back_), config_.out_channels),
        .fp8 = fp8_over<T>(memory),
        .time = time_over(memory),
        .first = group * share_.together};
    if constexpr (std::same_as<T, float>) at.rounded = at.stream;
    return at;
  }

 private:
  /// The hidden layer is four times as wide as the stream. From so many tokens on it is made in parts, each
  /// of which finds room with its result where [q | k | v] were: two, or three where it lies beside its own
  /// fp8. A part is whole tiles of a matrix product, on any execution.
  static constexpr index_t least_tokens_in_parts = 4096, part_multiple = 384;

  index_t hidden_tokens() const {
    if (share_.tokens < least_tokens_in_parts) return share_.tokens;
    const index_t parts = fp8_.products ? 3 : 2;
    return ((share_.tokens + parts - 1) / parts + part_multiple - 1) / part_multiple * part_multiple;
  }
  /// Of a group.
  index_t rows() const { return share_.together * share_.tokens; }
  index_t heads() const { return share_.block.attention_width / config_.heads.dim; }
  index_t blocks() const { return quantization_blocks(share_.tokens); }

  static Slab larger(const Slab& one, const Slab& other) { return one.bytes() < other.bytes() ? other : one; }
  /// What attention leaves, and what a product makes its part of the stream of.
  Slab attended(std::size_t element_bytes) const {
    Slab slab;
    slab.add(rows() * share_.block.attention_width, element_bytes);
    return slab;
  }
  /// Of one byte an element.
  Slab queries_and_keys() const {
    Slab slab;
    for (int part = 0; part < 2; ++part) slab.add(rows() * share_.block.attention_width, 1);
    return slab;
  }

  TransformerTime time_over(std::byte* memory) const {
    const index_t width = config_.width();
    float* next = at_offset<float>(memory, time_);
    const auto take = [&](index_t channels) {
      const auto view = TokensView<float>::dense(next, share_.batch, 1, channels);
      next += share_.batch * channels;
      return view;
    };
    return {.sinusoids = take(config_.time_channels),
            .hidden = take(width),
            .embedded = take(width),
            .activated = take(width),
            .adaln = take(6 * width),
            .modulations = at_offset<float>(memory, modulations_),
            .blocks = config_.layers};
  }

  template <Element T>
  Fp8Activations<T> fp8_over(std::byte* memory) const {
    const index_t local = share_.block.attention_width, feed_forward = share_.block.feed_forward;
    const auto codes = [&](std::size_t offset) { return at_offset<fp8_e4m3>(memory, offset); };
    Fp8Activations<T> at{};
    if (fp8_.products) {
      const auto scaled = [&](std::size_t offset, index_t channels) {
        return ScaledTokensView{
            TokensView<fp8_e4m3>::dense(codes(offset), share_.together, share_.tokens, channels),
            {at_offset<float>(memory, row_scales_), rows()}};
      };
      at.normed = scaled(front_, config_.width());
      at.attended_of_back = scaled(front_, local);
      at.attended_of_front = scaled(back_, local);
      at.hidden = {TokensView<fp8_e4m3>::dense(codes(back_ + fp8_hidden_), 1, hidden_tokens(), feed_forward),
                   {at_offset<float>(memory, hidden_scales_), hidden_tokens()}};
    }
    if (fp8_.attention) {
      const index_t scales = share_.together * blocks() * heads(), terms = share_.together * local;
      const auto head_major = [&](index_t part) {
        return QuantizedHeads<fp8_e4m3>::head_major(
            codes(front_) + part * static_cast<index_t>(queries_and_keys().bytes() / 2),
            at_offset<float>(memory, head_scales_) + part * scales, share_.together, share_.tokens, heads(),
            config_.heads.dim);
      };
      at.queries = head_major(0), at.keys = head_major(1);
      float* const value_terms = at_offset<float>(memory, value_terms_);
      at.values =
          QuantizedValues<fp8_e4m3>::head_major(codes(value_codes_), value_terms, value_terms + terms,
                                                share_.together, share_.tokens, heads(), config_.heads.dim);
      at.attended = TokensView<T>::dense(at_offset<T>(memory, back_), share_.together, share_.tokens, local);
    }
    return at;
  }

  TransformerConfig config_;
  TransformerShare share_;
  Fp8Parts fp8_;
  Slab slab_;
  std::size_t stream_ = 0, front_ = 0, back_ = 0, delta_ = 0, time_ = 0, modulations_ = 0;
  std::size_t fp8_hidden_ = 0, row_scales_ = 0, hidden_scales_ = 0;
  std::size_t head_scales_ = 0, value_codes_ = 0, value_terms_ = 0;
};

/// How the share's batch goes through forward passes, with the same bits: in one, where `spare_bytes` hold
/// what it writes, together or taking turns in each block; or each element in a pass of its own.
inline TransformerShare share_that_fits(const TransformerConfig& config, TransformerShare share,
                                        std::size_t element_bytes, Fp8Parts fp8, std::size_t spare_bytes) {
  const auto fits = [&] {
    return TransformerLayout(config, share, element_bytes, fp8).bytes() <= spare_bytes;
  };
  if (fits()) return share;
  share.together = 1;
  if (!fits()) share.batch = 1;
  return share;
}

/// What a forward pass keeps of its prompts: the text as every block reads it, and the keys and values that
/// blocks make of it; of every block, to be read again at the next step, or of one block in turn.
class TextLayout {
 public:
  /// For `share`'s batch and `tokens` of text. Keys and values of all blocks are kept where they take no more
  /// than `spare_bytes`.
  TextLayout(const TransformerConfig& config, const TransformerShare& share, index_t tokens,
             std::size_t element_bytes, std::size_t spare_bytes) {
    const index_t rows = share.batch * tokens;
    Slab block;
    block.add(rows * 2 * share.block.attention_width, element_bytes);
    block_bytes_ = block.bytes();
    keeps_blocks_ = static_cast<std::size_t>(config.layers) * block_bytes_ <= spare_bytes;
    sequence_ = slab_.add(rows * config.width(), element_bytes);
    blocks_ = slab_.add(static_cast<index_t>(block_bytes_) * (keeps_blocks_ ? config.layers : 1), 1);
  }

  std::size_t bytes() const { return slab_.bytes(); }
  bool keeps_blocks() const { return keeps_blocks_; }

  // Offsets in that memory.
  std::size_t sequence() const { return sequence_; }  ///< (batch, tokens, width)
  /// (batch, tokens, [k | v] x heads)
  std::size_t keys_values(int block) const {
    return blocks_ + (keeps_blocks_ ? static_cast<std::size_t>(block) * block_bytes_ : 0);
  }

 private:
  Slab slab_;
  std::size_t block_bytes_ = 0, sequence_ = 0, blocks_ = 0;
  bool keeps_blocks_ = false;
};

}  // namespace stepvideo::model
