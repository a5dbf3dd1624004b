// Token ids to embeddings.
#pragma once
#include <cstdint>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// The rows that make up a token's embedding; views without data are left out.
template <class T>
struct EmbeddingTables {
  MatrixView<const T> words{};       ///< (vocabulary, width), by id
  MatrixView<const T> positions{};   ///< (at least as many as tokens, width), by the token's place
  VectorView<const T> everywhere{};  ///< (width): BERT's token type 0
};

/// What embed requires of everything but the ids, on any execution.
template <class T>
void require_embedding_shapes(MatrixView<const std::int32_t> ids, const EmbeddingTables<T>& tables,
                              TokensView<T> out) {
  require(out.batch == ids.rows && out.tokens == ids.columns && out.width == tables.words.columns, [&] {
    return "embed: ids are " + shape_text(ids) + ", words have " + std::to_string(tables.words.columns) +
           " channels and out is " + shape_text(out) + "; they must agree";
  });
  require(tables.positions.data == nullptr ||
              (tables.positions.rows >= ids.columns && tables.positions.columns == out.width),
          [&] {
            return "embed: there are " + std::to_string(tables.positions.rows) + " positions for " +
                   std::to_string(ids.columns) + " tokens of " + std::to_string(out.width) +
                   " channels, and they have " + std::to_string(tables.positions.columns);
          });
  require(tables.everywhere.data == nullptr || tables.everywhere.size == out.width, [&] {
    return "embed: what every token gets has " + std::to_string(tables.everywhere.size) +
           " channels and out " + std::to_string(out.width) + "; they must agree";
  });
  require_data("embed", "ids", ids);
  require_data("embed", "words", tables.words);
  require_data("embed", "out", out);
}

/// Throws RequestError where an id is outside the vocabulary; ids (batch, tokens) lie on the host.
inline void require_token_ids(MatrixView<const std::int32_t> ids, index_t vocabulary) {
  for (index_t batch = 0; batch < ids.rows; ++batch)
    for (index_t token = 0; token < ids.columns; ++token) {
      const index_t id = ids.row(batch)[token];
      require(id >= 0 && id < vocabulary, [&] {
        return "embed: token id " + std::to_string(id) + " is outside the vocabulary of " +
               std::to_string(vocabulary);
      });
    }
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out (batch, tokens, width) = words[id] + positions[token] + everywhere, summed in float32 in this order.
/// Throws RequestError where shapes disagree or an id is outside the vocabulary, before anything is written.
template <HostElement T>
void embed(Host, MatrixView<const std::int32_t> ids, std::type_identity_t<const EmbeddingTables<T>&> tables,
           TokensView<T> out) {
  require_embedding_shapes<T>(ids, tables, out);
  require_token_ids(ids, tables.words.rows);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < ids.rows; ++batch)
    for (index_t token = 0; token < ids.columns; ++token) {
      const T* word = tables.words.row(ids.row(batch)[token]);
      const T* position = tables.positions.data == nullptr ? nullptr : tables.positions.row(token);
      T* target = out.row(batch, token);
#pragma omp simd
      for (index_t i = 0; i < out.width; ++i) {
        float value = float(word[i]);
        if (position != nullptr) value += float(position[i]);
        if (tables.everywhere.data != nullptr) value += float(tables.everywhere[i]);
        round_into(target[i], value);
      }
    }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
