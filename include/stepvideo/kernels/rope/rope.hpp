// 3D rotary embedding of queries and keys.
#pragma once
#include <cstdint>
#include <string>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/rope/rope_table.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// What rope3d requires, on any execution.
template <class T>
void require_rope_shapes(HeadsView<T> heads, const RopeTableView& table) {
  require(heads.dim == table.dim, [&] {
    return "rope3d: a head has " + std::to_string(heads.dim) + " channels and the table turns " +
           std::to_string(table.dim) + "; they must be equal";
  });
  require(table.first_token >= 0 && table.first_token + heads.tokens <= table.shape.tokens(), [&] {
    return "rope3d: tokens " + std::to_string(table.first_token) + " to " +
           std::to_string(table.first_token + heads.tokens) + " are asked of a table for " +
           std::to_string(table.shape.tokens());
  });
  require_data("rope3d", "the heads", heads);
}

/// Where in the video a tensor's token lies.
struct RopePosition {
  int frame = 0, row = 0, column = 0;

  /// Divides in 32 bits, which GPUs do several times faster; no memory holds 2^32 tokens.
  static constexpr RopePosition of(const RopeTableView& table, index_t token) {
    const auto place = static_cast<std::uint32_t>(table.first_token + token);
    const auto width = static_cast<std::uint32_t>(table.shape.width),
               height = static_cast<std::uint32_t>(table.shape.height), line = place / width;
    return {static_cast<int>(line / height), static_cast<int>(line % height),
            static_cast<int>(place % width)};
  }
};

}  // namespace stepvideo

namespace stepvideo::rope_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// (a, b) -> (a cos - b sin, b cos + a sin) for the pairs (i, i + pairs).
template <class T>
void turn(T* channels, const RopeAxis& axis, index_t position) {
  const float *cosines = axis.cosines + position * axis.pairs, *sines = axis.sines + position * axis.pairs;
  T *first = channels + axis.first_channel, *second = first + axis.pairs;
#pragma omp simd
  for (index_t i = 0; i < axis.pairs; ++i) {
    const float a = float(first[i]), b = float(second[i]);
    round_into(first[i], a * cosines[i] - b * sines[i]);
    round_into(second[i], b * cosines[i] + a * sines[i]);
  }
}

/// One head at one place of the video.
template <class T>
void turn_head(T* channels, const RopeTableView& table, const RopePosition& position) {
  turn(channels, table.frame, position.frame);
  turn(channels, table.row, position.row);
  turn(channels, table.column, position.column);
}

}  // namespace stepvideo::rope_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Turns (batch, tokens, heads, dim) in place, in float32. Tokens are in the order (frame, row, column),
/// column fastest. Throws RequestError when the table is for another head dimension or has too few tokens.
template <HostElement T>
void rope3d(Host, HeadsView<T> heads, const RopeTableView& table) {
  require_rope_shapes(heads, table);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < heads.batch; ++batch)
    for (index_t token = 0; token < heads.tokens; ++token) {
      const auto position = RopePosition::of(table, token);
      for (index_t head = 0; head < heads.heads; ++head)
        rope_detail::turn_head(heads.row(batch, token, head), table, position);
    }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct Rope;

template <class E, class Heads>
inline constexpr Mistake rope_mistake = first_of({execution_mistake<E, Rope>,
                                                  result_mistake<E, HeadsView, Heads>});
}  // namespace calls

/// Every call of rope3d that cannot be, to say why.
template <class E, class Heads>
requires calls::Mistaken<calls::rope_mistake<E, Heads>, E>
void rope3d(const E&, const Heads&, const RopeTableView&) {
  constexpr auto mistake = calls::rope_mistake<E, Heads>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "rope3d on a Device is in <stepvideo/kernels/rope/rope.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, Heads>();
}

}  // namespace stepvideo
