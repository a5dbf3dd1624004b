// What rounding to fp8 may move each element of attention by.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/core/view.hpp>

#include "oracle/attention.hpp"
#include "support/compare.hpp"

namespace stepvideo::testing {

/// Root mean squares of relative errors. Three bits of mantissa move a value by 2.6 % of itself; a product of
/// a query and a key has two such errors.
struct Fp8Roundings {
  double products = 0.037, weights = 0.026, values = 0.026;
};

/// For every element of `expected`, the largest error allowed: so many standard deviations, to first order,
/// of its roundings taken as independent, what the tensor cores' accumulators cut off, and the rounding to T.
/// With weights p and results o, a score that is wrong by e moves the result by p e (v - o); rotated queries
/// and keys spread their errors over all channels.
template <class T, class Sees, class Bias>
std::vector<double> fp8_allowed_errors(HeadsView<const T> queries, HeadsView<const T> keys,
                                       HeadsView<const T> values, double scale, Sees&& sees, Bias&& bias,
                                       const oracle::Attention& expected, const Fp8Roundings& roundings) {
  constexpr double deviations = 6.5, cut_off = 2e-3, smallest_weight = 0x1p-16;
  const index_t sharing = queries.heads / keys.heads, rows = queries.batch * queries.tokens * queries.heads,
                dim = queries.dim;
  // A value is rounded as what it differs from its channel's mean by. What is hidden may be no number.
  std::vector<double> means(static_cast<std::size_t>(keys.batch * keys.heads * dim), 0.0);
  for (index_t b = 0; b < keys.batch; ++b)
    for (index_t h = 0; h < keys.heads; ++h)
      for (index_t c = 0; c < dim; ++c) {
        double sum = 0, count = 0;
        for (index_t j = 0; j < keys.tokens; ++j) {
          const double value = double(float(values.row(b, j, h)[c]));
          if (std::isfinite(value)) sum += value, count += 1;
        }
        means[(b * keys.heads + h) * dim + c] = sum / std::max(count, 1.0);
      }
  std::vector<double> allowed(expected.out.size());
#pragma omp parallel for schedule(dynamic, 16)
  for (index_t row = 0; row < rows; ++row) {
    const index_t h = row % queries.heads, i = row / queries.heads % queries.tokens,
                  b = row / queries.heads / queries.tokens;
    const T* query = queries.row(b, i, h);
    const double* const out = expected.out.data() + row * dim;
    std::vector<double> variance(static_cast<std::size_t>(dim), 0.0), scores, errors;
    double largest = -std::numeric_limits<double>::infinity();
    for (index_t j = 0; j < keys.tokens; ++j) {
      if (!sees(b, i, j)) continue;
      const T* key = keys.row(b, j, h / sharing);
      double score = 0, squares = 0, of_query = 0, of_key = 0;
      for (index_t c = 0; c < dim; ++c) {
        const double q = double(float(query[c])), k = double(float(key[c]));
        score += q * k, squares += q * q * k * k, of_query += q * q, of_key += k * k;
      }
      scores.push_back(score * scale + double(bias(h, i, j)));
      errors.push_back(roundings.products * scale *
                       std::sqrt(std::max(squares, of_query * of_key / static_cast<double>(dim))));
      largest = std::max(largest, scores.back());
    }
    const double* const mean = means.data() + (b * keys.heads + h / sharing) * dim;
    std::size_t at = 0;
    for (index_t j = 0; j < keys.tokens; ++j) {
      if (!sees(b, i, j)) continue;
      const double log_weight = scores[at] - expected.log_sum_exp[row], weight = std::exp(log_weight),
                   most = std::exp(largest - expected.log_sum_exp[row]), of_score = errors[at++];
      const double of_weight =
          weight * weight * (of_score * of_score + roundings.weights * roundings.weights) +
          most * most * smallest_weight * smallest_weight;
      const T* value = values.row(b, j, h / sharing);
      for (index_t c = 0; c < dim; ++c) {
        const double v = double(float(value[c])), off = v - out[c],
                     rounded = std::max(std::abs(v), std::abs(v - mean[c])),
                     of_value = weight * roundings.values * rounded;
        variance[c] += of_weight * off * off + of_value * of_value;
      }
    }
    for (index_t c = 0; c < dim; ++c) {
      const std::size_t element = static_cast<std::size_t>(row * dim + c);
      const double before = deviations * std::sqrt(variance[c]) + cut_off * expected.summed[element];
      allowed[element] = before + half_unit<T>(std::abs(out[c]) + before);
    }
  }
  return allowed;
}

/// The element that uses most of what it is allowed; an infinite share where something is not finite.
inline WorstElement worst_of_allowed(const std::vector<double>& actual, const std::vector<double>& expected,
                                     const std::vector<double>& allowed) {
  WorstElement worst;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(actual[i] - expected[i]);
    const double share = difference == 0 ? 0 : difference / allowed[i];
    if (share <= worst.share) continue;
    worst = {static_cast<std::ptrdiff_t>(i), actual[i], expected[i], allowed[i],
             std::isfinite(share) ? share : std::numeric_limits<double>::infinity()};
    if (std::isinf(worst.share)) break;
  }
  return worst;
}

}  // namespace stepvideo::testing
