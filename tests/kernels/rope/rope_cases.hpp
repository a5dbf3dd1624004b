// The cases of rope3d, for any place.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include <stepvideo/kernels/rope/rope.hpp>

#include "oracle/rope.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

template <class T, class Visit>
void for_each_element(HeadsView<T> view, Visit&& visit) {
  for (index_t b = 0; b < view.batch; ++b)
    for (index_t t = 0; t < view.tokens; ++t)
      for (index_t h = 0; h < view.heads; ++h)
        for (index_t i = 0; i < view.dim; ++i) visit(view.row(b, t, h)[i]);
}
template <class T>
std::vector<double> gathered(HeadsView<T> view) {
  std::vector<double> values;
  for_each_element(view, [&](T value) { values.push_back(double(float(value))); });
  return values;
}

/// Whether `after` has the bits of `before` wherever none of the views lies.
template <class T, class... Views>
bool leaves_the_rest(const Buffer<T>& before, const Buffer<T>& after, const Views&... views) {
  std::vector<bool> is_result(std::size_t(after.size()));
  const auto mark = [&](const auto& view) {
    for_each_element(view, [&](T& value) { is_result[std::size_t(&value - after.data())] = true; });
  };
  (mark(views), ...);
  for (index_t i = 0; i < after.size(); ++i)
    if (!is_result[std::size_t(i)] && std::memcmp(before.data() + i, after.data() + i, sizeof(T)) != 0)
      return false;
  return true;
}

/// The view of `buffer` that `view` is of `storage`.
template <class View, class T, class Copy>
View in_copy(View view, const Buffer<T>& storage, const Copy& buffer) {
  if (view.data != nullptr) view.data = buffer.data() + (view.data - storage.data());
  return view;
}

/// One part of a packed projection of a rank's share of the tokens: the last `tokens` of a video.
template <class T, class Place>
void check_rope(const Place& on, std::mt19937& engine, LatentShape shape, RopeSplit split, index_t batch,
                index_t tokens, index_t heads, index_t parts) {
  const int axes[] = {split.frame, split.row, split.column};
  const index_t dim = split.dim(), width = heads * parts * dim, first = shape.tokens() - tokens;
  const auto values = random_normal<T>(batch * tokens * width, engine);
  const HeadsView<T> view{
      values.data() + (parts - 1) * dim, batch, tokens, heads, dim, tokens * width, width, parts * dim};
  const auto expected = oracle::rope3d<T>(view, shape.height, shape.width, axes, first);

  const auto placed = place(on, values);
  const auto table = make_rope_table<float>(execution_of(on), shape, split);
  auto part = table.view();
  part.first_token = first;
  run(on, [&](auto execution) { rope3d(execution, in_copy(view, values, placed), part); });
  const auto turned = fetch(on, placed);
  check_each<T>(gathered(in_copy(view, values, turned)), expected, {.float_roundings = 4});
  BOOST_CHECK(leaves_the_rest(values, turned, in_copy(view, values, turned)));
}

template <class T, class Place>
void rope_agrees_with_its_oracle(const Place& on, int trials = 40) {
  std::mt19937 engine(43);
  for (int trial = 0; trial < trials; ++trial) {
    const auto some = [&](int low, int high) { return random_int(engine, low, high); };
    const LatentShape shape{some(1, 5), some(1, 9), some(1, 9)};
    const auto split = trial % 2 ? RopeSplit::of_head(trial % 4 == 1 ? 128 : 64)
                                 : RopeSplit{2 * some(1, 33), 2 * some(1, 17), 2 * some(1, 17)};
    check_rope<T>(on, engine, shape, split, some(1, 2), some(1, int(shape.tokens())), some(1, 3), some(1, 3));
  }
}

/// More batch elements than a grid has blocks in y.
template <class Place>
void rope_of_many_batch_elements(const Place& on) {
  std::mt19937 engine(44);
  check_rope<bf16>(on, engine, {1, 1, 2}, RopeSplit::of_head(64), 65'540, 1, 1, 1);
  check_rope<float>(on, engine, {1, 2, 1}, {2, 2, 2}, 65'540, 2, 1, 2);
}

/// Nothing is turned: the view may have no data.
template <Execution E>
void rope_of_an_empty_tensor(E execution) {
  const auto table = make_rope_table<float>(host, {2, 2, 2}, RopeSplit::of_head(64));
  for (const auto& view :
       {HeadsView<float>::dense(nullptr, 0, 8, 1, 64), HeadsView<float>::dense(nullptr, 1, 0, 1, 64),
        HeadsView<float>::dense(nullptr, 1, 8, 0, 64)})
    rope3d(execution, view, table.view());
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void rope_refuses_by_name(E execution) {
  const Buffer<float> values(4096);
  const auto table = make_rope_table<float>(host, {2, 2, 2}, RopeSplit::of_head(64));
  const auto refuses = [&](float* data, index_t tokens, index_t dim, const char* text) {
    check_refused([&] { rope3d(execution, HeadsView<float>::dense(data, 1, tokens, 1, dim), table.view()); },
                  text);
  };
  refuses(values.data(), 8, 32, "32 channels and the table turns 64");
  refuses(values.data(), 9, 64, "tokens 0 to 9 are asked of a table for 8");
  refuses(nullptr, 8, 64, "the heads has no data for its 512 elements");
}

}  // namespace stepvideo::testing
