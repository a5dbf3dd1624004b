// Random attention problems in every layout, and the comparison of a result with the oracle.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <vector>

#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/attention/mask.hpp>

#include "oracle/attention.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

/// A view and the buffer it looks into, so that a case can be carried to a device.
template <class T>
struct StoredHeads {
  Buffer<T> storage;
  HeadsView<T> view;
};

enum class HeadsLayout { token_major, head_major, packed, padded, misaligned };
inline constexpr HeadsLayout every_layout[] = {HeadsLayout::token_major, HeadsLayout::head_major,
                                               HeadsLayout::packed, HeadsLayout::padded,
                                               HeadsLayout::misaligned};

/// NaN everywhere: what a kernel reads beside the view shows, and what it writes there as well.
template <class T>
StoredHeads<T> poisoned_heads(HeadsLayout layout, index_t batch, index_t tokens, index_t heads, index_t dim) {
  HeadsView<T> view = HeadsView<T>::dense(nullptr, batch, tokens, heads, dim);
  index_t offset = 0;
  switch (layout) {
    case HeadsLayout::token_major:
      break;
    case HeadsLayout::head_major:
      view = HeadsView<T>::head_major(nullptr, batch, tokens, heads, dim);
      break;
    case HeadsLayout::packed:  // the middle of three, interleaved by head
      view.head_stride *= 3, view.token_stride *= 3, view.batch_stride *= 3, offset = dim;
      break;
    case HeadsLayout::padded:
      view.token_stride += 24, view.batch_stride = tokens * view.token_stride + 8, offset = 16;
      break;
    case HeadsLayout::misaligned:
      view.head_stride += 1, view.token_stride = heads * view.head_stride + 2;
      view.batch_stride = tokens * view.token_stride + 5, offset = 3;
      break;
  }
  const auto span = [](index_t extent, index_t stride) { return std::max<index_t>(extent - 1, 0) * stride; };
  Buffer<T> storage = poisoned<T>(offset + span(batch, view.batch_stride) + span(tokens, view.token_stride) +
                                  span(heads, view.head_stride) + dim + 8);
  view.data = storage.data() + offset;
  return {std::move(storage), view};
}

/// `function(index, element)` for every element of a view, in the order (batch, tokens, heads, dim).
template <class T, class Function>
void for_each_element(HeadsView<T> view, Function&& function) {
  index_t index = 0;
  for (index_t b = 0; b < view.batch; ++b)
    for (index_t t = 0; t < view.tokens; ++t)
      for (index_t h = 0; h < view.heads; ++h)
        for (index_t i = 0; i < view.dim; ++i) function(index++, view.row(b, t, h)[i]);
}

template <class T>
StoredHeads<T> random_heads(HeadsLayout layout, index_t batch, index_t tokens, index_t heads, index_t dim,
                            std::mt19937& engine, float scale) {
  auto result = poisoned_heads<T>(layout, batch, tokens, heads, dim);
  std::normal_distribution<float> normal(0.0f, scale);
  for_each_element(result.view, [&](index_t, T& element) { element = T(normal(engine)); });
  return result;
}

struct AttentionExtents {
  index_t batch = 1, queries = 1, keys = 1, heads = 1, groups = 1, dim = 64;
};

template <class T>
struct AttentionProblem {
  AttentionExtents extents;
  float scale;
  StoredHeads<T> queries, keys, values, out;
  StoredHeads<float> log_sum_exp;

  /// The same layout for keys and values, any for the others.
  AttentionProblem(std::mt19937& engine, AttentionExtents e, float magnitude = 1.5f)
      : extents(e), scale(1 / std::sqrt(static_cast<float>(e.dim))) {
    const auto any_layout = [&] { return every_layout[random_int(engine, 0, 4)]; };
    const HeadsLayout layout = any_layout();
    queries = random_heads<T>(any_layout(), e.batch, e.queries, e.heads, e.dim, engine, magnitude);
    keys = random_heads<T>(layout, e.batch, e.keys, e.groups, e.dim, engine, magnitude);
    values = random_heads<T>(layout, e.batch, e.keys, e.groups, e.dim, engine, 1.0f);
    const HeadsLayout out_layout = any_layout();
    out = poisoned_heads<T>(out_layout, e.batch, e.queries, e.heads, e.dim);
    log_sum_exp = poisoned_heads<float>(out_layout, e.batch, e.queries, e.heads, 1);
  }
};

/// What attention in float32 with weights rounded to T may lose of an element: the weights' rounding, and
/// float32 roundings. A score that was made of `scored` in all is wrong by a few of its units, and more the
/// longer its sum, which is a share of its weight; exponentials, sums and the power of two for the reference
/// lose the others, and a tile of keys that raises the reference rescales what came before it. fp16's small
/// weights lie on a grid: one of its steps for each key. Results of parts of the keys were rounded before
/// they were merged.
template <class T>
Budget attention_budget(double scored, index_t keys, index_t dim, int parts) {
  const double of_grid = std::same_as<T, fp16> ? static_cast<double>(keys) : 0.0;
  const auto count = static_cast<double>(keys);
  return {.float_roundings =
              (4 + static_cast<double>(dim) / 128) * scored + 64 + std::sqrt(count) + count / 4 + of_grid,
          .element_roundings = std::same_as<T, float> ? 0.0 : double(parts)};
}

/// The element of a result that uses most of what it is allowed.
template <class T>
WorstElement worst_of_attention(const std::vector<double>& actual, const oracle::Attention& expected,
                                index_t dim, index_t keys, int parts = 1) {
  WorstElement worst;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const Budget budget =
        attention_budget<T>(expected.scored[i / static_cast<std::size_t>(dim)], keys, dim, parts);
    const double allowed = allowed_error<T>(expected.out[i], expected.summed[i], budget);
    const double difference = std::abs(actual[i] - expected.out[i]), share = difference / allowed;
    if (!(share <= worst.share))
      worst = {static_cast<std::ptrdiff_t>(i), actual[i], expected.out[i], allowed,
               std::isfinite(share) ? share : std::numeric_limits<double>::infinity()};
    if (std::isinf(worst.share)) break;
  }
  return worst;
}

/// Errors against the oracle over many problems, beside those of a naive run in the same precision.
template <class T>
class ErrorBudget {
 public:
  /// Judges one result: all of it written, nothing beside it; every element within its budget, and the
  /// relative error at most twice the naive run's, and a roundoff of the result and of the largest score more
  /// for cases where the naive run was lucky.
  template <class Sees, class Bias>
  void judge(const AttentionProblem<T>& problem, Sees&& sees, Bias&& bias, int parts = 1) {
    const auto& p = problem;
    const auto expected =
        oracle::attention<T>(p.queries.view, p.keys.view, p.values.view, p.scale, sees, bias);
    const auto naive =
        oracle::naive_attention<T>(p.queries.view, p.keys.view, p.values.view, p.scale, sees, bias);
    std::vector<double> actual(expected.out.size());
    for_each_element(p.out.view, [&](index_t i, T value) { actual[i] = float(value); });
    double error = 0, naive_error = 0, magnitude = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const double difference = actual[i] - expected.out[i],
                   naive_difference = naive.out[i] - expected.out[i];
      error += difference * difference, naive_error += naive_difference * naive_difference;
      magnitude += expected.out[i] * expected.out[i];
    }
    // Scores in the hundreds leave one key to a query: there a rounding of the score is the whole error, and
    // the naive run's luck no measure.
    const double largest_score = *std::max_element(expected.scored.begin(), expected.scored.end());
    const double slack =
        (half_unit<T>(1.0) + 2 * largest_score * half_unit<float>(1.0)) * std::sqrt(magnitude);
    const auto text = [&] {
      const auto& e = p.extents;
      return "batch " + std::to_string(e.batch) + ", queries " + std::to_string(e.queries) + ", keys " +
             std::to_string(e.keys) + ", heads " + std::to_string(e.heads) + "/" + std::to_string(e.groups) +
             ", dim " + std::to_string(e.dim);
    };
    BOOST_CHECK_MESSAGE(std::sqrt(error) <= 2 * std::sqrt(naive_error) + slack,
                        text() << ": error " << std::sqrt(error / magnitude) << ", naive "
                               << std::sqrt(naive_error / magnitude));
    const WorstElement worst = worst_of_attention<T>(actual, expected, p.extents.dim, p.extents.keys, parts);
    BOOST_CHECK_MESSAGE(worst.share <= 1, text() << ": element " << worst.at << " is " << worst.actual
                                                 << " for " << worst.expected << ", " << worst.share
                                                 << " times what it may lose");
    worst_share_ = std::max(worst_share_, worst.share);
    index_t written = 0;
    for (const T value : p.out.storage) written += !std::isnan(float(value));
    BOOST_CHECK_MESSAGE(written == p.out.view.batch * p.out.view.tokens * p.out.view.heads * p.out.view.dim,
                        text() << ": " << written << " elements were written");
    for_each_element(p.log_sum_exp.view, [&](index_t i, float value) {
      const double wanted = expected.log_sum_exp[i];
      if (value == wanted) return;  // minus infinity
      BOOST_REQUIRE_MESSAGE(std::abs(value - wanted) <= 4e-6 * (4 + std::abs(wanted)),
                            text() << ": log_sum_exp " << value << " for " << wanted);
    });
    error_ += error, naive_ += naive_error;
  }

  /// Over all problems together the luck of small ones evens out.
  void check() const {
    BOOST_CHECK_MESSAGE(std::sqrt(error_) <= 2 * std::sqrt(naive_),
                        "errors are " << std::sqrt(error_ / naive_) << " times the naive run's");
    BOOST_TEST_MESSAGE("errors are " << std::sqrt(error_ / naive_)
                                     << " times the naive run's, the worst element uses " << worst_share_
                                     << " of its budget");
  }

 private:
  double error_ = 0, naive_ = 0, worst_share_ = 0;
};

}  // namespace stepvideo::testing
