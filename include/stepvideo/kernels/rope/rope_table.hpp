// Sines and cosines of 3D rotary embedding, computed once per latent shape.
#pragma once
#include <cmath>
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/transfer.hpp>

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

/// A table owns one position's angles per axis, not per token: position x 10000^(-2 i / width), i = 0 ..
/// width/2.
template <Execution E>
class RopeTable {
 public:
  RopeTable() = default;

  /// Throws RequestError unless the split covers a head with even parts.
  template <class Round>
  RopeTable(E execution, LatentShape shape, RopeSplit split, Round&& round_angle)
      : shape_(shape), split_(split), half_(pairs_and_positions()) {
    require_rope_split_covers_head(split, {.count = 1, .dim = split.dim()});
    Buffer<float> values(2 * half_);
    float *cosine = values.data(), *sine = values.data() + half_;
    const int positions[] = {shape.frames, shape.height, shape.width};
    const int widths[] = {split.frame, split.row, split.column};
    for (int axis = 0; axis < 3; ++axis)
      for (int position = 0; position < positions[axis]; ++position)
        for (int pair = 0; pair < widths[axis] / 2; ++pair) {
          const double angle = round_angle(position * std::pow(10000.0, -2.0 * pair / widths[axis]));
          *cosine++ = static_cast<float>(std::cos(angle));
          *sine++ = static_cast<float>(std::sin(angle));
        }
    values_ = transfer(execution, std::move(values));
  }

  LatentShape shape() const { return shape_; }

  RopeTableView view() const {
    const float *cosines = values_.data(), *sines = values_.data() + half_;
    const index_t rows_at = index_t{shape_.frames} * split_.frame / 2;
    const index_t columns_at = rows_at + index_t{shape_.height} * split_.row / 2;
    return {
        .frame = {cosines, sines, split_.frame / 2, 0},
        .row = {cosines + rows_at, sines + rows_at, split_.row / 2, split_.frame},
        .column = {cosines + columns_at, sines + columns_at, split_.column / 2, split_.frame + split_.row},
        .shape = shape_,
        .dim = split_.dim(),
        .first_token = 0};
  }

 private:
  index_t pairs_and_positions() const {
    return index_t{shape_.frames} * (split_.frame / 2) + index_t{shape_.height} * (split_.row / 2) +
           index_t{shape_.width} * (split_.column / 2);
  }

  LatentShape shape_{};
  RopeSplit split_{};
  index_t half_ = 0;
  Buffer<float, E> values_;
};

/// The table for tensors of T.
template <Element T, Execution E>
RopeTable<E> make_rope_table(E execution, LatentShape shape, RopeSplit split,
                             RopeAngles angles = RopeAngles::exact) {
  return RopeTable<E>(execution, shape, split, [angles](double angle) {
    if (angles == RopeAngles::exact) return angle;
    return static_cast<double>(static_cast<float>(T(static_cast<float>(angle))));
  });
}

}  // namespace stepvideo
