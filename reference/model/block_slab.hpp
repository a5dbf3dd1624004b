// The matrices of one block of the video transformer in one contiguous piece of memory: what is loaded,
// fetched and planned as one.
#pragma once
#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include <stepvideo/core/scaled_rows.hpp>
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

/// How a block's products read a weight of W: rows of fp8 have a scale each.
template <class W>
using WeightView = std::conditional_t<std::same_as<W, fp8_e4m3>, ScaledRows, MatrixView<const W>>;

/// Row-major (out, in), as checkpoints store them. Queries, keys and values of one head lie together: [q | k
/// | v] x heads, and [k | v] x heads. The text's keys and values are T's in any block.
template <class T, class W = T>
struct BlockViews {
  using Weight = W;
  WeightView<W> wqkv, wo, cross_wq;
  MatrixView<const T> cross_wkv;
  WeightView<W> cross_wo, feed_forward_in, feed_forward_out;
};

class BlockSlab {
 public:
  struct Matrix {
    const char* name;  ///< behind "transformer_blocks.N."
    index_t rows, columns;
    bool stays = false;                  ///< an element of the run's in blocks of fp8, too
    std::size_t offset = 0, scales = 0;  ///< in bytes; scales of blocks of fp8
  };

  /// For elements of so many bytes; in fp8, all matrices but those that stay.
  BlockSlab(const TransformerConfig& config, const BlockShare& share, std::size_t element_bytes,
            bool is_fp8 = false)
      : is_fp8_(is_fp8) {
    const index_t width = config.width(), local = share.attention_width, hidden = share.feed_forward;
    matrices_ = {{{"attn1.wqkv.weight", 3 * local, width},
                  {"attn1.wo.weight", width, local},
                  {"attn2.wq.weight", local, width},
                  {"attn2.wkv.weight", 2 * local, width, true},
                  {"attn2.wo.weight", width, local},
                  {"ff.net.0.proj.weight", hidden, width},
                  {"ff.net.2.weight", width, hidden}}};
    for (Matrix& matrix : matrices_) {
      matrix.offset = slab_.add(matrix.rows * matrix.columns, has_scales(matrix) ? 1 : element_bytes);
      if (has_scales(matrix)) matrix.scales = slab_.add(matrix.rows, sizeof(float));
    }
  }

  std::size_t bytes() const { return slab_.bytes(); }
  bool is_fp8() const { return is_fp8_; }
  const auto& matrices() const { return matrices_; }
  bool has_scales(const Matrix& matrix) const { return is_fp8_ && !matrix.stays; }

  /// Whether a tensor of a checkpoint is a matrix that blocks of fp8 have in fp8.
  static bool is_fp8_matrix(const std::string& tensor) {
    static const BlockSlab slab(TransformerConfig{}, BlockShare{}, sizeof(float), true);
    return tensor.starts_with("transformer_blocks.") &&
           std::ranges::any_of(slab.matrices(), [&](const Matrix& matrix) {
             return slab.has_scales(matrix) && tensor.ends_with(std::string(".") + matrix.name);
           });
  }

  /// W is fp8 where the slab is.
  template <class T, class W = T>
  BlockViews<T, W> over(std::byte* memory) const {
    return {weight<W>(memory, 0), weight<W>(memory, 1), weight<W>(memory, 2), weight<T>(memory, 3),
            weight<W>(memory, 4), weight<W>(memory, 5), weight<W>(memory, 6)};
  }
  /// To be filled.
  static ScaledTokensView scaled(const Matrix& matrix, std::byte* memory) {
    return {TokensView<fp8_e4m3>::dense(at_offset<fp8_e4m3>(memory, matrix.offset), 1, matrix.rows,
                                        matrix.columns),
            {at_offset<float>(memory, matrix.scales), matrix.rows}};
  }

 private:
  template <class W>
  WeightView<W> weight(std::byte* memory, std::size_t index) const {
    const Matrix& matrix = matrices_[index];
    if constexpr (std::same_as<W, fp8_e4m3>) {
      return ScaledRows(scaled(matrix, memory));
    } else {
      return MatrixView<const W>::dense(at_offset<const W>(memory, matrix.offset), matrix.rows,
                                        matrix.columns);
    }
  }

  bool is_fp8_;
  Slab slab_;
  std::array<Matrix, 7> matrices_;
};

}  // namespace stepvideo::model
