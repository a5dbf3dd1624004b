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
};

/// `sees(batch, query, key)` and `bias(head, query, key)` are the test's own statement of the mask.
template <class T, class Sees, class Bias>
Attention attention(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                    double scale, Sees&& sees, Bias&& bias) {
  Attention result;
  const index_t sharing = queries.heads / keys.heads;
  for (index_t b = 0; b < queries.batch; ++b)
    for (index_t i = 0; i < queries.tokens; ++i)
      for (index_t h = 0; h < queries.heads; ++h) {
        std::vector<double> weights(static_cast<std::size_t>(keys.tokens), 0.0);
        double largest = -std::numeric_limits<double>::infinity(), sum = 0;
        for (int pass = 0; pass < 2; ++pass)
          for (index_t j = 0; j < keys.tokens; ++j) {
            if (!sees(b, i, j)) continue;
            double score = 0;
            for (index_t c = 0; c < queries.dim; ++c)
              score += double(queries.row(b, i, h)[c]) * double(keys.row(b, j, h / sharing)[c]);
            score = score * scale + bias(h, i, j);
            if (pass == 0) largest = std::max(largest, score);
            if (pass == 1) sum += weights[j] = std::exp(score - largest);
          }
        for (index_t c = 0; c < queries.dim; ++c) {
          double value = 0;
          for (index_t j = 0; j < keys.tokens; ++j)
            if (weights[j] > 0) value += weights[j] / sum * double(values.row(b, j, h / sharing)[c]);
          result.out.push_back(value);
        }
        result.log_sum_exp.push_back(largest + std::log(sum));
      }
  return result;
}

}  // namespace stepvideo::oracle
