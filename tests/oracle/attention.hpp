// Attention as its formula says, in double: one query at a time, every score in memory.
#pragma once
#include <cmath>
#include <limits>
#include <vector>

#include <stepvideo/core/view.hpp>

namespace stepvideo::oracle {

struct Attention {
  std::vector<double> out;          ///< (batch, query tokens, query heads, dim)
  std::vector<double> log_sum_exp;  ///< (batch, query tokens, query heads)
  std::vector<double> summed;       ///< As out: the sum of the absolute values of what was summed.
  std::vector<double> scored;       ///< As log_sum_exp: the same of the score for which it is largest.
};

/// Attention in the arithmetic of `Real`; `round_weight(weight)` and `round_result(value)` may lose
/// precision. `sees(batch, query, key)` and `bias(head, query, key)` are the test's own statement of the
/// mask. A query that sees no key gets zeros and minus infinity.
template <class Real, class T, class Sees, class Bias, class RoundWeight, class RoundResult>
Attention attention_in(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                       Real scale, Sees&& sees, Bias&& bias, RoundWeight&& round_weight,
                       RoundResult&& round_result) {
  const index_t sharing = queries.heads / keys.heads, rows = queries.batch * queries.tokens * queries.heads;
  const auto of_elements = static_cast<std::size_t>(rows * queries.dim),
             of_rows = static_cast<std::size_t>(rows);
  Attention result{std::vector<double>(of_elements), std::vector<double>(of_rows),
                   std::vector<double>(of_elements), std::vector<double>(of_rows)};
#pragma omp parallel for schedule(dynamic, 16)
  for (index_t row = 0; row < rows; ++row) {
    const index_t h = row % queries.heads, i = row / queries.heads % queries.tokens,
                  b = row / queries.heads / queries.tokens;
    const T* query = queries.row(b, i, h);
    std::vector<Real> weights(static_cast<std::size_t>(keys.tokens), Real{0});
    Real largest = -std::numeric_limits<Real>::infinity(), sum = 0;
    for (index_t j = 0; j < keys.tokens; ++j) {
      if (!sees(b, i, j)) continue;
      const T* key = keys.row(b, j, h / sharing);
      Real score = 0, magnitude = 0;
      for (index_t c = 0; c < queries.dim; ++c) {
        const Real product = Real(float(query[c])) * Real(float(key[c]));
        score += product, magnitude += std::abs(product);
      }
      weights[j] = score * scale + Real(bias(h, i, j));
      result.scored[row] =
          std::max(result.scored[row], double(magnitude * std::abs(scale) + std::abs(Real(bias(h, i, j)))));
      largest = std::max(largest, weights[j]);
    }
    for (index_t j = 0; j < keys.tokens; ++j)
      if (sees(b, i, j)) sum += weights[j] = std::exp(weights[j] - largest);
    std::vector<Real> out(static_cast<std::size_t>(queries.dim), Real{0}), summed = out;
    for (index_t j = 0; j < keys.tokens; ++j) {
      if (!sees(b, i, j)) continue;
      const T* value = values.row(b, j, h / sharing);
      const Real weight = round_weight(weights[j] / sum);
      for (index_t c = 0; c < queries.dim; ++c) {
        const Real term = weight * Real(float(value[c]));
        out[c] += term, summed[c] += std::abs(term);
      }
    }
    for (index_t c = 0; c < queries.dim; ++c) {
      result.out[row * queries.dim + c] = round_result(out[c]);
      result.summed[row * queries.dim + c] = summed[c];
    }
    result.log_sum_exp[row] = largest + std::log(sum);
  }
  return result;
}

template <class T, class Sees, class Bias>
Attention attention(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                    double scale, Sees&& sees, Bias&& bias) {
  const auto exact = [](double value) { return value; };
  return attention_in<double, T>(queries, keys, values, scale, sees, bias, exact, exact);
}

/// What the formula gives without care: float32 sums, weights and results rounded to T.
template <class T, class Sees, class Bias>
Attention naive_attention(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                          float scale, Sees&& sees, Bias&& bias) {
  const auto rounded = [](float value) { return float(T(value)); };
  return attention_in<float, T>(queries, keys, values, scale, sees, bias, rounded, rounded);
}

}  // namespace stepvideo::oracle
