// Where everything lies that a forward pass of the video transformer writes. The executor and the plan count
// the same bytes because they ask the same function.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>

#include "model/block_slab.hpp"
#include "model/config.hpp"
#include "model/slab.hpp"

namespace stepvideo::model {

/// What one rank has of a forward pass.
struct TransformerShare {
  index_t batch = 0, tokens = 0;
  BlockShare block;

  /// All of it.
  static TransformerShare whole(const TransformerConfig& config, index_t batch, index_t tokens) {
    return {batch, tokens, BlockShare::whole(config)};
  }
};

/// The views of a forward pass, (batch, tokens, channels) where nothing else is said. Those of one place hold
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

  /// (batch, 1, channels), from the sinusoids of the time to what all blocks share of their modulations.
  TokensView<float> sinusoids, time_hidden, time, activated, adaln;
  /// Shifts, scales and gates of every block, (blocks, batch, 6 x width), and of the last norm, (batch, 2 x
  /// width).
  float* modulations = nullptr;
  int blocks = 0;

  MatrixView<float> modulations_of(int block) const {
    const index_t rows = block < blocks ? 6 : 2;
    return MatrixView<float>::dense(modulations + block * 6 * time.batch * time.width, time.batch,
                                    rows * time.width);
  }
  /// Row `row` of a block's six, or of the last norm's two, for each batch element.
  MatrixView<const float> modulation(int block, index_t row) const {
    MatrixView<float> all = modulations_of(block);
    return {all.data + row * time.width, all.rows, time.width, all.row_stride};
  }
};

class TransformerLayout {
 public:
  TransformerLayout(const TransformerConfig& config, const TransformerShare& share, std::size_t element_bytes)
      : config_(config), share_(share) {
    const index_t rows = share.batch * share.tokens, width = config.width();
    stream_ = slab_.add(rows * width, sizeof(float));
    front_ = slab_.add(rows * width, element_bytes);
    Slab attention, feed_forward, edge;
    attention.add(rows * 3 * share.block.attention_width, element_bytes);
    feed_forward.add(hidden_tokens() * share.block.feed_forward, element_bytes);
    delta_ = feed_forward.add(rows * width, element_bytes);
    edge.add(rows * std::max(config.in_channels, config.out_channels), sizeof(float));
    back_ =
        slab_.add(static_cast<index_t>(std::max({attention.bytes(), feed_forward.bytes(), edge.bytes()})), 1);
    time_ = slab_.add(share.batch * (config.time_channels + 9 * width), sizeof(float));
    modulations_ = slab_.add(share.batch * (6 * config.layers + 2) * width, sizeof(float));
  }

  std::size_t bytes() const { return slab_.bytes(); }

  /// The views over `memory` of bytes(), for elements of the layout's size.
  template <Element T>
  TransformerActivations<T> over(std::byte* memory) const {
    const index_t width = config_.width();
    const auto tokens = [&]<class Value>(Value* data, index_t channels) {
      return TokensView<Value>::dense(data, share_.batch, share_.tokens, channels);
    };
    T* const front = at_offset<T>(memory, front_);
    T* const back = at_offset<T>(memory, back_);
    float* time = at_offset<float>(memory, time_);
    const auto of_time = [&](index_t channels) {
      const auto view = TokensView<float>::dense(time, share_.batch, 1, channels);
      time += share_.batch * channels;
      return view;
    };
    TransformerActivations<T> at{
        .stream = tokens(at_offset<float>(memory, stream_), width),
        .normed = tokens(front, width),
        .attended = tokens(front, share_.block.attention_width),
        .rounded = tokens(front, width),
        .patches = tokens(back, config_.in_channels),
        .qkv = tokens(back, 3 * share_.block.attention_width),
        .delta = tokens(at_offset<T>(memory, back_ + delta_), width),
        .queries = tokens(back, share_.block.attention_width),
        .hidden = MatrixView<T>::dense(back, hidden_tokens(), share_.block.feed_forward),
        .results = tokens(at_offset<float>(memory, back_), config_.out_channels),
        .sinusoids = of_time(config_.time_channels),
        .time_hidden = of_time(width),
        .time = of_time(width),
        .activated = of_time(width),
        .adaln = of_time(6 * width),
        .modulations = at_offset<float>(memory, modulations_),
        .blocks = config_.layers};
    if constexpr (std::same_as<T, float>) at.rounded = at.stream;
    return at;
  }

 private:
  /// The hidden layer is four times as wide as the stream. From so many tokens on it is made in two parts,
  /// each of which finds room with its result where [q | k | v] were; a part is whole tiles of a matrix
  /// product, on any execution.
  static constexpr index_t least_tokens_in_parts = 4096, part_multiple = 384;

  index_t hidden_tokens() const {
    if (share_.tokens < least_tokens_in_parts) return share_.tokens;
    return ((share_.tokens + 1) / 2 + part_multiple - 1) / part_multiple * part_multiple;
  }

  TransformerConfig config_;
  TransformerShare share_;
  Slab slab_;
  std::size_t stream_ = 0, front_ = 0, back_ = 0, delta_ = 0, time_ = 0, modulations_ = 0;
};

/// How many of the share's batch elements go through a forward pass together: all of them where `spare_bytes`
/// hold what it writes, or else one at a time, with the same bits.
inline index_t elements_at_a_time(const TransformerConfig& config, TransformerShare share,
                                  std::size_t element_bytes, std::size_t spare_bytes) {
  return TransformerLayout(config, share, element_bytes).bytes() <= spare_bytes ? share.batch : 1;
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
