// The cases of group_norm, for any place.
#pragma once
#include <array>
#include <cmath>

#include <stepvideo/kernels/norm/group_norm.hpp>

#include "oracle/group_norm.hpp"
#include "oracle/linear.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

template <class Data>
auto video(const Data& values, index_t frames, index_t height, index_t width, index_t channels) {
  return VideoView<std::remove_pointer_t<decltype(values.data())>>{values.data(), frames, height, width,
                                                                   channels};
}

struct VideoShape {
  index_t frames, height, width, channels;
  index_t size() const { return frames * height * width * channels; }
  template <class T>
  VideoView<T> view(T* data) const {
    return {data, frames, height, width, channels};
  }
};

/// Statistics are merged, and the GPU updates means value by value.
inline constexpr Budget group_norm_budget{.float_roundings = 8};
inline constexpr double steepest_silu = 1.1;

/// One video of random values, `shift` elements off the grid of 16 bytes.
template <class T, class Place>
class GroupNormCase {
 public:
  GroupNormCase(const Place& on, std::mt19937& engine, const VideoShape& shape, index_t groups,
                float deviation = 1, float mean = 0, index_t shift = 0)
      : on_(on),
        shape_(shape),
        groups_(groups),
        shift_(shift),
        in_(random_normal<T>(shape.size() + shift, engine, deviation)),
        weight_(random_normal<T>(shape.channels, engine)),
        bias_(random_normal<T>(shape.channels, engine)) {
    for (T& value : in_) value = T(float(value) + mean);
  }

  oracle::Sums expected() const {
    return oracle::group_norm<T>(shape_.view<const T>(in_.data() + shift_), weight_, bias_, groups_, 1e-5);
  }
  /// What becomes of the video, beside itself or in its own place.
  template <class Out = T, class Finish>
  Buffer<Out> result(const Finish& epilogue, bool in_place = false) const {
    const auto in = place(on_, in_), weight = place(on_, weight_), bias = place(on_, bias_);
    const auto out = place(on_, poisoned<Out>(shape_.size() + shift_));
    const auto room = place(on_, Buffer<std::byte>(static_cast<index_t>(
                                     group_norm_workspace(execution_of(on_), shape_.view(in.data())))));
    Out* to = out.data();
    if constexpr (std::same_as<T, Out>)
      if (in_place) to = in.data();
    run(on_, [&](auto execution) {
      group_norm(execution, shape_.view(in.data() + shift_), weight.vector(), bias.vector(), groups_, 1e-5f,
                 epilogue, shape_.view(to + shift_), Workspace(room));
    });
    Buffer<Out> all;
    if constexpr (std::same_as<T, Out>) {
      all = fetch(on_, in_place ? in : out);
    } else {
      all = fetch(on_, out);
    }
    Buffer<Out> values(shape_.size());
    std::copy(all.begin() + shift_, all.end(), values.begin());
    return values;
  }
  void check_plain() const { check_each<T>(result(Store{}), expected(), group_norm_budget); }
  void check_silu_in_place() const {
    check_each<T>(result(Activate<Silu>{}, true), expected().mapped(oracle::silu, steepest_silu),
                  group_norm_budget);
  }

 private:
  const Place& on_;
  VideoShape shape_;
  index_t groups_, shift_;
  Buffer<T> in_, weight_, bias_;
};

template <class T, class Place>
void group_norm_agrees_with_its_oracle(const Place& on, int trials = 40) {
  std::mt19937 engine(11);
  for (int trial = 0; trial < trials; ++trial) {
    const index_t groups = std::array{1, 2, 3, 32}[trial % 4];
    const index_t channels = groups * (trial % 5 == 0 ? 8 : random_int(engine, 1, groups == 32 ? 3 : 20));
    const VideoShape shape{random_int(engine, 1, 4), random_int(engine, 1, 30), random_int(engine, 2, 30),
                           channels};
    const GroupNormCase<T, Place> one(on, engine, shape, groups, 3.0f);
    one.check_plain();
    one.check_silu_in_place();
  }
}

/// More channels than a block has threads, groups across blocks, frames of more than one part, and more parts
/// than a GPU works on at once; more frames than a grid has blocks in y.
template <class T, class Place>
void large_videos_agree_with_the_oracle(const Place& on, index_t shift = 0) {
  std::mt19937 engine(16);
  for (const auto& [shape, groups] : {std::pair<VideoShape, index_t>{{2, 40, 61, 128}, 32},
                                      {{1, 33, 20, 512}, 32},
                                      {{2, 7, 5, 4096}, 2},
                                      {{1, 9, 9, 1030}, 10},
                                      {{3, 50, 70, 56}, 7},
                                      {{700, 1, 3, 8}, 2},
                                      {{65'540, 1, 2, 8}, 2}})
    GroupNormCase<T, Place>(on, engine, shape, groups, 1, 0, shift).check_plain();
}

/// In float the inputs themselves are rounded to 6e-5; a sum of squares would leave nothing of the variance.
template <class Place>
void a_mean_far_from_zero_costs_no_digits(const Place& on) {
  std::mt19937 engine(12);
  const GroupNormCase<float, Place> one(on, engine, {1, 100, 100, 32}, 32, 1, 1000);
  check_each<float>(one.result(Store{}), one.expected(), {.float_roundings = 1});
}

/// No frames and no pixels leave nothing to do, without a workspace; no channels make no groups.
template <Execution E>
void group_norm_of_an_empty_video(E execution) {
  const Buffer<float> weight(8);
  for (const auto& view :
       {VideoView<float>{nullptr, 0, 3, 4, 8}, {nullptr, 2, 0, 4, 8}, {nullptr, 2, 3, 0, 8}}) {
    BOOST_CHECK_EQUAL(group_norm_workspace(execution, view), 0u);
    group_norm(execution, view, weight.vector(), weight.vector(), 4, 1e-5f, Store{}, view, Workspace{});
  }
  const VideoView<float> no_channels{nullptr, 2, 3, 4, 0};
  BOOST_CHECK_EQUAL(group_norm_workspace(execution, no_channels), 0u);
  check_refused(
      [&] {
        group_norm(execution, no_channels, VectorView<float>{}, VectorView<float>{}, 4, 1e-5f, Store{},
                   no_channels, Workspace{});
      },
      "0 channels in 4 groups are not built; 1 to 8192 channels");
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void group_norm_refuses_by_name(E execution) {
  const Buffer<float> values(2 * 2 * 2 * 8), weight(8);
  const auto view = video(values, 2, 2, 2, 8);
  const auto refuses = [&](VideoView<float> in, VectorView<float> weights, index_t groups,
                           VideoView<float> out, const char* text) {
    check_refused(
        [&] {
          group_norm(execution, in, weights, VectorView<float>(weight.vector()), groups, 1e-5f, Store{}, out,
                     Workspace{});
        },
        text);
  };
  const VideoView<float> missing{nullptr, 2, 2, 2, 8};
  refuses(view, weight.vector(), 3, view, "8 channels in 3 groups");
  refuses(view, weight.vector(), 0, view, "8 channels in 0 groups");
  refuses(view, {weight.data(), 7}, 4, view, "weight has 7 elements");
  refuses(view, weight.vector(), 4, view.frames_from(0, 1), "different shapes");
  refuses(missing, weight.vector(), 4, view, "group_norm: in has no data for its 64 elements");
  refuses(view, weight.vector(), 4, missing, "group_norm: out has no data");
  refuses(view, {nullptr, 8}, 4, view, "group_norm: weight has no data");
}

}  // namespace stepvideo::testing
