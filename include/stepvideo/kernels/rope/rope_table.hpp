// Sines and cosines of 3D rotary embedding, computed once per latent shape.
#pragma once
#include <cmath>
#include <cstddef>
#include <utility>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/transfer.hpp>
#include <stepvideo/core/workspace.hpp>

namespace stepvideo {

/// How precisely angles are kept. The release rounds them to the tensor's element type before it takes sines
/// and cosines, which moves a bf16 angle of 100 by up to a quarter of a radian.
enum class RopeAngles { exact, rounded_to_element };

/// One axis of a table: (positions, pairs) sines and cosines, and the channels they turn.
struct RopeAxis {
  const float *cosines = nullptr, *sines = nullptr;
  index_t pairs = 0;          ///< half of the axis' channels
  index_t first_channel = 0;  ///< of the head
};

/// A table as kernels see it; lies in the memory of one execution.
struct RopeTableView {
  RopeAxis frame, row, column;
  LatentShape shape;
  index_t dim = 0;
  /// Which token of the latent the tensor's first token is; not zero where a rank holds a part of the tokens.
  index_t first_token = 0;
};

namespace rope_detail {

/// A table's cosines, and as many sines behind them.
constexpr index_t angle_count(LatentShape shape, RopeSplit split) {
  return index_t{shape.frames} * (split.frame / 2) + index_t{shape.height} * (split.row / 2) +
         index_t{shape.width} * (split.column / 2);
}

/// One position's angles per axis, not per token: position x 10000^(-2 i / width), i = 0 .. width / 2. Throws
/// RequestError unless the split covers a head with even parts.
template <class Round>
void fill_angles(LatentShape shape, RopeSplit split, Round&& round_angle, float* values) {
  require_rope_split_covers_head(split, {.count = 1, .dim = split.dim()});
  float *cosine = values, *sine = values + angle_count(shape, split);
  const int positions[] = {shape.frames, shape.height, shape.width};
  const int widths[] = {split.frame, split.row, split.column};
  for (int axis = 0; axis < 3; ++axis)
    for (int position = 0; position < positions[axis]; ++position)
      for (int pair = 0; pair < widths[axis] / 2; ++pair) {
        const double angle = round_angle(position * std::pow(10000.0, -2.0 * pair / widths[axis]));
        *cosine++ = static_cast<float>(std::cos(angle));
        *sine++ = static_cast<float>(std::sin(angle));
      }
}

/// A table's angles, as precise as `angles` says for tensors of T.
template <Element T>
auto rounding_of(RopeAngles angles) {
  return [angles](double angle) {
    if (angles == RopeAngles::exact) return angle;
    return static_cast<double>(static_cast<float>(T(static_cast<float>(angle))));
  };
}

inline RopeTableView view_angles(LatentShape shape, RopeSplit split, const float* values) {
  const float *cosines = values, *sines = values + angle_count(shape, split);
  const index_t rows_at = index_t{shape.frames} * split.frame / 2;
  const index_t columns_at = rows_at + index_t{shape.height} * split.row / 2;
  return {.frame = {cosines, sines, split.frame / 2, 0},
          .row = {cosines + rows_at, sines + rows_at, split.row / 2, split.frame},
          .column = {cosines + columns_at, sines + columns_at, split.column / 2, split.frame + split.row},
          .shape = shape,
          .dim = split.dim(),
          .first_token = 0};
}

}  // namespace rope_detail

/// A table and its memory. A GPU's allocates, and waits for its stream once, while it is made: who wants
/// neither makes a view in memory of his own, see make_rope_table_in().
template <Execution E>
class RopeTable {
 public:
  RopeTable() = default;

  /// Throws RequestError unless the split covers a head with even parts.
  template <class Round>
  RopeTable(E execution, LatentShape shape, RopeSplit split, Round&& round_angle)
      : shape_(shape), split_(split) {
    Buffer<float> values(2 * rope_detail::angle_count(shape, split));
    rope_detail::fill_angles(shape, split, round_angle, values.data());
    values_ = transfer(execution, std::move(values));
  }

  LatentShape shape() const { return shape_; }

  RopeTableView view() const { return rope_detail::view_angles(shape_, split_, values_.data()); }

 private:
  LatentShape shape_{};
  RopeSplit split_{};
  Buffer<float, E> values_;
};

namespace calls {
struct MakeRopeTable;
}  // namespace calls

/// The table for tensors of T. Throws RequestError unless the split covers a head with even parts.
template <Element T, Execution E>
requires(calls::execution_mistake<E, calls::MakeRopeTable> ==
         calls::Mistake::none) RopeTable<E> make_rope_table(E execution, LatentShape shape, RopeSplit split,
                                                            RopeAngles angles = RopeAngles::exact) {
  return RopeTable<E>(execution, shape, split, rope_detail::rounding_of<T>(angles));
}
/// Every call of make_rope_table that cannot be, to say why.
template <Element T, class E>
requires calls::Mistaken<calls::execution_mistake<E, calls::MakeRopeTable>, E> RopeTable<Host>
make_rope_table(const E&, LatentShape, RopeSplit, RopeAngles = RopeAngles::exact) {
  constexpr auto mistake = calls::execution_mistake<E, calls::MakeRopeTable>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "make_rope_table on a Device is in <stepvideo/kernels/rope/rope_table.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E>();
  return {};
}

/// Bytes that a table takes in memory of the caller's, on any execution.
constexpr std::size_t rope_table_workspace(LatentShape shape, RopeSplit split) {
  return workspace_bytes<float>(2 * rope_detail::angle_count(shape, split));
}

/// The same table in a workspace of rope_table_workspace() bytes, which must outlive the view. Throws
/// RequestError where that is too small, too.
template <Element T>
RopeTableView make_rope_table_in(Host, Workspace workspace, LatentShape shape, RopeSplit split,
                                 RopeAngles angles = RopeAngles::exact) {
  auto* values = workspace.take<float>(2 * rope_detail::angle_count(shape, split));
  rope_detail::fill_angles(shape, split, rope_detail::rounding_of<T>(angles), values);
  return rope_detail::view_angles(shape, split, values);
}

}  // namespace stepvideo
