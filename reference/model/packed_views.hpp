// Views into the packed results of projections, and into a batch.
#pragma once
#include <stepvideo/core/scaled_rows.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>

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

/// `count` elements of a batch.
template <class T>
TokensView<T> elements_of(TokensView<T> tokens, index_t first, index_t count) {
  tokens.data = tokens.row(first, 0), tokens.batch = count;
  return tokens;
}

/// `count` tokens of a batch element as rows.
template <class T>
MatrixView<T> rows_of(TokensView<T> tokens, index_t element, index_t first, index_t count) {
  return {tokens.row(element, first), count, tokens.width, tokens.token_stride};
}
inline ScaledRows rows_of(const ScaledTokensView& tokens, index_t element, index_t first, index_t count) {
  return {rows_of(tokens.values, element, first, count), {&tokens.scale(element, first), count}};
}
/// All tokens of a batch element.
template <class T>
MatrixView<T> rows_of(TokensView<T> tokens, index_t element) {
  return rows_of(tokens, element, 0, tokens.tokens);
}
inline ScaledRows rows_of(const ScaledTokensView& tokens, index_t element) {
  return rows_of(tokens, element, 0, tokens.values.tokens);
}

}  // namespace stepvideo::model
