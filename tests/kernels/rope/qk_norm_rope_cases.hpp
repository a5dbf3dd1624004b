// The cases of qk_norm_rope, for any place.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "kernels/rope/rope_cases.hpp"
#include "oracle/qk_norm_rope.hpp"

namespace stepvideo::testing {

/// One random request: a packed projection and, behind it in the same storage, poisoned room for the results.
template <class T>
struct QkCase {
  LatentShape shape;
  RopeSplit split;
  index_t batch = 1, tokens = 1, heads = 1, first_token = 0;
  Buffer<T> storage, query_weight, key_weight;
  HeadsView<T> packed;
  QkvOutput<T> out;

  index_t dim() const { return split.dim(); }
  QkNorm<T> norm() const { return {query_weight.vector(), key_weight.vector(), 1e-6f}; }
  oracle::Sums expected(index_t part) const {
    const int axes[] = {split.frame, split.row, split.column};
    return oracle::norm_rope<T>(rope_detail::packed_part<const T>(packed, part),
                                (part == 0 ? query_weight : key_weight).data(), 1e-6, shape.height,
                                shape.width, axes, first_token);
  }
};

enum class QkLayout { token_major, head_major, in_place, padded };

/// `dim` 0 is a head with an irregular split, `batch` 0 one or two elements. Padded rows begin off the grid
/// of 16 bytes.
template <class T>
QkCase<T> random_qk_case(std::mt19937& engine, index_t dim, QkLayout layout, bool moves_values,
                         index_t tokens, index_t heads, index_t batch = 0) {
  const auto some = [&](int low, int high) { return random_int(engine, low, high); };
  QkCase<T> c;
  c.split =
      dim > 0 ? RopeSplit::of_head(int(dim)) : RopeSplit{2 * some(1, 9), 2 * some(1, 5), 2 * some(1, 5)};
  dim = c.split.dim();
  c.batch = batch > 0 ? batch : some(1, 2), c.tokens = tokens, c.heads = heads, c.first_token = some(0, 9);
  c.shape.height = some(1, 7), c.shape.width = some(1, 7);
  c.shape.frames = int(c.first_token + tokens) / (c.shape.height * c.shape.width) + 1;

  const index_t pad = layout == QkLayout::padded ? 1 : 0, width = heads * 3 * dim + pad;
  const index_t packed_size = c.batch * tokens * width + pad;
  const index_t part_size = c.batch * tokens * (heads * dim + pad) + pad;
  c.storage = poisoned<T>(packed_size + 3 * part_size);
  const Buffer<T> values = random_normal<T>(packed_size, engine, 3.0f);
  std::copy(values.begin(), values.end(), c.storage.begin());
  c.query_weight = random_normal<T>(dim, engine), c.key_weight = random_normal<T>(dim, engine);
  c.packed = {c.storage.data() + pad, c.batch, tokens, heads, 3 * dim, tokens * width, width, 3 * dim};

  const auto place = [&](index_t part) -> HeadsView<T> {
    T* data = c.storage.data() + packed_size + part * part_size + pad;
    if (layout == QkLayout::in_place) return rope_detail::packed_part(c.packed, part);
    if (layout == QkLayout::head_major) return HeadsView<T>::head_major(data, c.batch, tokens, heads, dim);
    return {data, c.batch, tokens, heads, dim, tokens * (heads * dim + pad), heads * dim + pad, dim};
  };
  c.out = {place(0), place(1), moves_values ? place(2) : HeadsView<T>{}};
  return c;
}

template <class T>
Buffer<T> clone(const Buffer<T>& values) {
  Buffer<T> result(values.size());
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

/// Both norms round, to T, what they have and what the weight makes of it.
template <class T>
inline constexpr Budget qk_budget{.float_roundings = 12,
                                  .element_roundings = std::same_as<T, float> ? 0.0 : 2.0};

/// A case's inputs and room where the kernel reads them.
template <class T, class Place>
struct PlacedQkCase {
  PlacedBuffer<T, Place> storage, query_weight, key_weight;
  decltype(make_rope_table<float>(execution_of(std::declval<const Place&>()), LatentShape{},
                                  RopeSplit{})) table;
  RopeTableView turns;

  PlacedQkCase(const Place& on, const QkCase<T>& c)
      : storage(place(on, c.storage)),
        query_weight(place(on, c.query_weight)),
        key_weight(place(on, c.key_weight)),
        table(make_rope_table<float>(execution_of(on), c.shape, c.split)),
        turns(table.view()) {
    turns.first_token = c.first_token;
  }
  QkNorm<T> norm() const { return {query_weight.vector(), key_weight.vector(), 1e-6f}; }
};

/// Applies qk_norm_rope to the case's storage.
template <class T, class Place>
void apply(const Place& on, QkCase<T>& c) {
  const PlacedQkCase<T, Place> at(on, c);
  const auto moved = [&](auto view) { return in_copy(view, c.storage, at.storage); };
  run(on, [&](auto execution) {
    qk_norm_rope(execution, moved(c.packed), at.norm(), at.turns,
                 QkvOutput<T>{moved(c.out.queries), moved(c.out.keys), moved(c.out.values)});
  });
  const auto results = fetch(on, at.storage);
  std::copy(results.begin(), results.end(), c.storage.begin());
}

template <class T, class Place>
void check_qk_norm_rope(const Place& on, QkCase<T>& c) {
  const auto queries = c.expected(0), keys = c.expected(1);
  const auto values = gathered(rope_detail::packed_part(c.packed, 2));
  const auto before = clone(c.storage);
  apply(on, c);
  check_each<T>(gathered(c.out.queries), queries, qk_budget<T>);
  check_each<T>(gathered(c.out.keys), keys, qk_budget<T>);
  if (c.out.values.data != nullptr) BOOST_CHECK(gathered(c.out.values) == values);
  BOOST_CHECK(leaves_the_rest(before, c.storage, c.out.queries, c.out.keys, c.out.values));
}

template <class T, class Place>
void qk_norm_rope_agrees_with_its_oracle(const Place& on, int trials) {
  std::mt19937 engine(61);
  const index_t dims[] = {128, 64, 128, 0, 32};
  for (int trial = 0; trial < trials; ++trial) {
    auto c = random_qk_case<T>(engine, dims[trial % 5], QkLayout(trial % 4), trial % 3 != 0,
                               random_int(engine, 1, 150), random_int(engine, 1, 4));
    check_qk_norm_rope(on, c);
  }
}

}  // namespace stepvideo::testing
