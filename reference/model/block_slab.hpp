// The matrices of one block of the video transformer in one contiguous piece of memory: what is loaded,
// fetched and planned as one.
#pragma once
#include <array>
#include <cstddef>

#include <stepvideo/core/view.hpp>

#include "model/config.hpp"
#include "model/slab.hpp"

namespace stepvideo::model {

/// What one rank has of a block.
struct BlockShare {
  index_t attention_width = 0;  ///< channels of its heads
  index_t feed_forward = 0;     ///< columns of the hidden layer

  /// All of it.
  static BlockShare whole(const TransformerConfig& config) {
    return {config.width(), config.feed_forward_factor * config.width()};
  }
};

/// Row-major (out, in), as checkpoints store them. Queries, keys and values of one head lie together: [q | k
/// | v] x heads, and [k | v] x heads.
template <class T>
struct BlockViews {
  MatrixView<const T> wqkv, wo, cross_wq, cross_wkv, cross_wo, feed_forward_in, feed_forward_out;
};

class BlockSlab {
 public:
  struct Matrix {
    const char* name;  ///< behind "transformer_blocks.N."
    index_t rows, columns;
    std::size_t offset;  ///< in bytes
  };

  BlockSlab(const TransformerConfig& config, const BlockShare& share, std::size_t element_bytes) {
    const index_t width = config.width(), local = share.attention_width, hidden = share.feed_forward;
    matrices_ = {{{"attn1.wqkv.weight", 3 * local, width, 0},
                  {"attn1.wo.weight", width, local, 0},
                  {"attn2.wq.weight", local, width, 0},
                  {"attn2.wkv.weight", 2 * local, width, 0},
                  {"attn2.wo.weight", width, local, 0},
                  {"ff.net.0.proj.weight", hidden, width, 0},
                  {"ff.net.2.weight", width, hidden, 0}}};
    for (Matrix& matrix : matrices_) matrix.offset = slab_.add(matrix.rows * matrix.columns, element_bytes);
  }

  std::size_t bytes() const { return slab_.bytes(); }
  const auto& matrices() const { return matrices_; }

  template <class T>
  BlockViews<T> over(std::byte* memory) const {
    const auto view = [&](std::size_t index) {
      const auto& [name, rows, columns, offset] = matrices_[index];
      return MatrixView<const T>::dense(at_offset<const T>(memory, offset), rows, columns);
    };
    return {view(0), view(1), view(2), view(3), view(4), view(5), view(6)};
  }

 private:
  Slab slab_;
  std::array<Matrix, 7> matrices_;
};

}  // namespace stepvideo::model
