// The cases of qk_norm_rope, for any execution.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "oracle/qk_norm_rope.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

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
  std::vector<double> expected(index_t part) const {
    const int axes[] = {split.frame, split.row, split.column};
    return oracle::norm_rope<T>(rope_detail::packed_part<const T>(packed, part),
                                (part == 0 ? query_weight : key_weight).data(), 1e-6, shape.height,
                                shape.width, axes, first_token);
  }
};

enum class QkLayout { token_major, head_major, in_place, padded };

/// `dim` 0 is a head with an irregular split. Padded rows begin off the grid of 16 bytes.
template <class T>
QkCase<T> random_qk_case(std::mt19937& engine, index_t dim, QkLayout layout, bool moves_values,
                         index_t tokens, index_t heads) {
  const auto some = [&](int low, int high) { return random_int(engine, low, high); };
  QkCase<T> c;
  c.split =
      dim > 0 ? RopeSplit::of_head(int(dim)) : RopeSplit{2 * some(1, 9), 2 * some(1, 5), 2 * some(1, 5)};
  dim = c.split.dim();
  c.batch = some(1, 2), c.tokens = tokens, c.heads = heads, c.first_token = some(0, 9);
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
    if (!is_result[std::size_t(i)] && std::memcmp(&before[i], &after[i], sizeof(T)) != 0) return false;
  return true;
}
template <class T>
Buffer<T> clone(const Buffer<T>& values) {
  Buffer<T> result(values.size());
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

/// `run(case)` applies qk_norm_rope to the case's host storage, in whatever memory it likes.
template <class T, class Run>
void qk_norm_rope_agrees_with_its_oracle(Run&& run, double bound, int trials) {
  std::mt19937 engine(61);
  const index_t dims[] = {128, 64, 128, 0, 32};
  for (int trial = 0; trial < trials; ++trial) {
    auto c = random_qk_case<T>(engine, dims[trial % 5], QkLayout(trial % 4), trial % 3 != 0,
                               random_int(engine, 1, 150), random_int(engine, 1, 4));
    const auto queries = c.expected(0), keys = c.expected(1);
    const auto values = gathered(rope_detail::packed_part(c.packed, 2));
    const auto before = clone(c.storage);
    run(c);
    STEPVIDEO_CHECK_CLOSE(gathered(c.out.queries), queries, bound);
    STEPVIDEO_CHECK_CLOSE(gathered(c.out.keys), keys, bound);
    if (c.out.values.data != nullptr) BOOST_CHECK(gathered(c.out.values) == values);
    BOOST_CHECK(leaves_the_rest(before, c.storage, c.out.queries, c.out.keys, c.out.values));
  }
}

/// fp8 results of a case: values and scales of one tensor each, poisoned, laid out as the case's results are.
struct QuantizedRoom {
  Buffer<fp8_e4m3> values;
  Buffer<float> scales;
  QuantizedHeads<fp8_e4m3> view;

  template <class T>
  QuantizedRoom(const QkCase<T>& c, QkLayout layout)
      : values(poisoned<fp8_e4m3>(c.batch * c.tokens * (c.heads * c.dim() + 1) + 1)),
        scales(poisoned<float>(c.batch * quantization_blocks(c.tokens) * c.heads)),
        view(QuantizedHeads<fp8_e4m3>::head_major(values.data(), scales.data(), c.batch, c.tokens, c.heads,
                                                  c.dim())) {
    if (layout == QkLayout::head_major) return;
    const index_t pad = layout == QkLayout::padded ? 1 : 0, width = c.heads * c.dim() + pad;
    view.values = {values.data() + pad, c.batch, c.tokens, c.heads, c.dim(),
                   c.tokens * width,    width,   c.dim()};
    view.scales = HeadsView<float>::dense(scales.data(), c.batch, quantization_blocks(c.tokens), c.heads, 1);
  }
};

/// Each value from block `first_block` of tokens on is fp8's nearest to the expected one, give or take
/// `slack` of either for the rounding before it.
inline void check_quantized(const QuantizedHeads<fp8_e4m3>& actual, const std::vector<double>& expected,
                            double slack) {
  const auto& v = actual.values;
  const auto exact = HeadsView<const double>::dense(expected.data(), v.batch, v.tokens, v.heads, v.dim);
  for (index_t b = 0; b < v.batch; ++b)
    for (index_t h = 0; h < v.heads; ++h)
      for (index_t block = 0; block < quantization_blocks(v.tokens); ++block) {
        const index_t first = block * quantization_block_tokens,
                      last = std::min(v.tokens, first + quantization_block_tokens);
        double largest = 0, worst = 0;
        const double scale = double(actual.scale(b, block, h));
        for (index_t t = first; t < last; ++t)
          for (index_t i = 0; i < v.dim; ++i) largest = std::max(largest, std::abs(exact.row(b, t, h)[i]));
        for (index_t t = first; t < last; ++t)
          for (index_t i = 0; i < v.dim; ++i) {
            const double x = exact.row(b, t, h)[i], y = scale * double(float(v.row(b, t, h)[i]));
            const double allowed = std::abs(x) / 16 + scale / 1024 + slack * (largest + std::abs(x)) + 1e-12;
            const double error = std::abs(x - y) / allowed;
            worst = error <= worst ? worst : error;  // NaN is kept
          }
        BOOST_CHECK_MESSAGE(std::abs(scale * 448 - largest) <= 4 * slack * largest,
                            "scale " << scale << " of a block whose largest is " << largest);
        BOOST_CHECK_MESSAGE(worst <= 1, "a value is off by " << worst << " of what fp8's rounding allows");
      }
}

/// `run(case, query_room, key_room, rotation)`.
template <class T, class Run>
void quantized_qk_agrees_with_its_oracle(Run&& run, double slack, int trials) {
  std::mt19937 engine(62);
  const index_t dims[] = {128, 64, 128, 0, 32};
  for (int trial = 0; trial < trials; ++trial) {
    const auto layout = trial % 3 == 0   ? QkLayout::padded
                        : trial % 3 == 1 ? QkLayout::head_major
                                         : QkLayout::token_major;
    auto c = random_qk_case<T>(engine, dims[trial % 5], layout, false, random_int(engine, 1, 300),
                               random_int(engine, 1, 3));
    const auto rotation = dims[trial % 5] != 0 && trial % 2 ? HeadRotation::hadamard : HeadRotation::none;
    QuantizedRoom queries(c, layout), keys(c, layout);
    const auto before = clone(queries.values);
    run(c, queries, keys, rotation);
    for (int part : {0, 1}) {
      auto expected = c.expected(part);
      if (rotation == HeadRotation::hadamard) oracle::hadamard(expected, std::size_t(c.dim()));
      check_quantized(part == 0 ? queries.view : keys.view, expected, slack);
    }
    BOOST_CHECK(leaves_the_rest(before, queries.values, queries.view.values));
  }
}

/// So many heads that a block of threads makes several blocks of tokens, the last of them not full. The first
/// token has all of its norm in one channel, which is larger than whatever comes after it: no other block's
/// scale may know of it.
template <class Run>
void runs_of_blocks_do_not_mix(Run&& run) {
  std::mt19937 engine(64);
  auto c = random_qk_case<bf16>(engine, 64, QkLayout::head_major, false, 130, 1100);
  for (const int part : {0, 1}) {
    const auto& weight = part == 0 ? c.query_weight : c.key_weight;
    const auto largest = std::ranges::max_element(weight, {}, [](bf16 w) { return std::abs(float(w)); });
    const auto heads = rope_detail::packed_part(c.packed, part);
    for (index_t b = 0; b < c.batch; ++b)
      for (index_t h = 0; h < c.heads; ++h) {
        bf16* row = c.storage.data() + (heads.row(b, 0, h) - c.storage.data());
        std::fill_n(row, c.dim(), bf16(0.0f));
        row[largest - weight.begin()] = bf16(1.0f);
      }
  }
  QuantizedRoom queries(c, QkLayout::head_major), keys(c, QkLayout::head_major);
  run(c, queries, keys, HeadRotation::none);
  for (const int part : {0, 1}) check_quantized((part == 0 ? queries : keys).view, c.expected(part), 1e-2);
}

/// A head of zeros must come out as zeros with the least scale, not as 0/0.
template <class Run>
void a_block_of_zeros_has_the_least_scale(Run&& run) {
  std::mt19937 engine(63);
  auto c = random_qk_case<bf16>(engine, 128, QkLayout::head_major, false, 130, 2);
  std::fill(c.query_weight.begin(), c.query_weight.end(), bf16(0.0f));
  QuantizedRoom queries(c, QkLayout::head_major), keys(c, QkLayout::head_major);
  run(c, queries, keys, HeadRotation::hadamard);
  BOOST_CHECK(std::ranges::all_of(queries.scales, [](float scale) { return scale == Fp8Scale::of(0).scale; }));
  BOOST_CHECK(std::ranges::all_of(gathered(queries.view.values), [](double value) { return value == 0; }));
}

}  // namespace stepvideo::testing
