// Non-owning views with named extents. Extents and strides count elements, never bytes. A view of T
// converts to a view of const T; the last extent is always dense (stride one).
#pragma once
#include <concepts>
#include <cstddef>
#include <type_traits>

#include <stepvideo/core/shape.hpp>

namespace stepvideo {

using index_t = std::ptrdiff_t;

/// U is const T, and T is not const: the one conversion that views allow.
template <class U, class T>
concept AddsConst = !std::is_const_v<T> && std::same_as<U, const T>;

/// A dense run of values: a bias, a norm's weight.
template <class T>
struct VectorView {
  T* data = nullptr;
  index_t size = 0;

  constexpr T& operator[](index_t i) const { return data[i]; }
  template <AddsConst<T> U>
  constexpr operator VectorView<U>() const {
    return {data, size};
  }
};

/// (rows, columns), row-major.
template <class T>
struct MatrixView {
  T* data = nullptr;
  index_t rows = 0, columns = 0;
  index_t row_stride = 0;

  /// A dense matrix.
  static constexpr MatrixView dense(T* data, index_t rows, index_t columns) {
    return {data, rows, columns, columns};
  }
  constexpr T* row(index_t r) const { return data + r * row_stride; }
  template <AddsConst<T> U>
  constexpr operator MatrixView<U>() const {
    return {data, rows, columns, row_stride};
  }
};

/// (batch, tokens, width): the residual stream and its kin.
template <class T>
struct TokensView {
  T* data = nullptr;
  index_t batch = 0, tokens = 0, width = 0;
  index_t batch_stride = 0, token_stride = 0;

  static constexpr TokensView dense(T* data, index_t batch, index_t tokens, index_t width) {
    return {data, batch, tokens, width, tokens * width, width};
  }
  constexpr T* row(index_t b, index_t t) const { return data + b * batch_stride + t * token_stride; }
  /// All tokens of all batch elements as rows; needs the batch elements to follow one another.
  constexpr MatrixView<T> rows() const { return {data, batch * tokens, width, token_stride}; }
  template <AddsConst<T> U>
  constexpr operator TokensView<U>() const {
    return {data, batch, tokens, width, batch_stride, token_stride};
  }
};

/// (batch, tokens, heads, dim): queries, keys, values. The strides choose the order in memory, so a slice
/// of a packed, per-head interleaved projection is a view as well.
template <class T>
struct HeadsView {
  T* data = nullptr;
  index_t batch = 0, tokens = 0, heads = 0, dim = 0;
  index_t batch_stride = 0, token_stride = 0, head_stride = 0;

  static constexpr HeadsView dense(T* data, index_t batch, index_t tokens, index_t heads, index_t dim) {
    return {data, batch, tokens, heads, dim, tokens * heads * dim, heads * dim, dim};
  }
  /// (batch, heads, tokens, dim) in memory.
  static constexpr HeadsView head_major(T* data, index_t batch, index_t tokens, index_t heads, index_t dim) {
    return {data, batch, tokens, heads, dim, tokens * heads * dim, dim, tokens * dim};
  }
  constexpr T* row(index_t b, index_t t, index_t h) const {
    return data + b * batch_stride + t * token_stride + h * head_stride;
  }
  template <AddsConst<T> U>
  constexpr operator HeadsView<U>() const {
    return {data, batch, tokens, heads, dim, batch_stride, token_stride, head_stride};
  }
};

/// (frames, height, width, channels), dense, channels last.
template <class T>
struct VideoView {
  T* data = nullptr;
  index_t frames = 0, height = 0, width = 0, channels = 0;

  constexpr index_t pixels() const { return frames * height * width; }
  constexpr index_t size() const { return pixels() * channels; }
  constexpr T* pixel(index_t frame, index_t y, index_t x) const {
    return data + ((frame * height + y) * width + x) * channels;
  }
  /// The frames [first, first + count).
  constexpr VideoView frames_from(index_t first, index_t count) const {
    return {pixel(first, 0, 0), count, height, width, channels};
  }
  /// Every pixel a row.
  constexpr MatrixView<T> rows() const { return {data, pixels(), channels, channels}; }
  template <AddsConst<T> U>
  constexpr operator VideoView<U>() const {
    return {data, frames, height, width, channels};
  }
};

/// (batch, frames, channels, height, width), dense: latents as the sampler keeps them.
template <class T>
struct LatentsView {
  T* data = nullptr;
  index_t batch = 0, channels = 0;
  LatentShape shape{};

  constexpr index_t size() const { return batch * channels * shape.tokens(); }
  template <AddsConst<T> U>
  constexpr operator LatentsView<U>() const {
    return {data, batch, channels, shape};
  }
};

}  // namespace stepvideo
