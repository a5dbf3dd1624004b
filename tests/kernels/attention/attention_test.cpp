#define BOOST_TEST_MODULE attention
#include "oracle/attention.hpp"

#include <cmath>
#include <fstream>
#include <tuple>

#include <nlohmann/json.hpp>
#include <omp.h>

#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/merge.hpp>

#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double bound = std::same_as<T, float> ? 3e-6 : 4e-3;

struct Extents {
  index_t batch = 1, queries = 1, keys = 1, heads = 1, groups = 1, dim = 64;
};

/// Random queries in (batch, heads, tokens, dim) and keys and values packed in one projection.
template <class T>
struct Problem {
  Extents extents;
  float scale;
  Buffer<T> query_values, packed, out_values;
  Buffer<float> log_sum_exp_values;

  Problem(std::mt19937& engine, Extents e)
      : extents(e),
        scale(1 / std::sqrt(static_cast<float>(e.dim))),
        query_values(testing::random_normal<T>(e.batch * e.queries * e.heads * e.dim, engine, 2.0f)),
        packed(testing::random_normal<T>(e.batch * e.keys * e.groups * 2 * e.dim, engine)),
        out_values(testing::poisoned<T>(query_values.size())),
        log_sum_exp_values(testing::poisoned<float>(e.batch * e.queries * e.heads)) {}

  HeadsView<T> queries() const {
    return HeadsView<T>::head_major(query_values.data(), extents.batch, extents.queries, extents.heads,
                                    extents.dim);
  }
  HeadsView<T> part(index_t part) const {
    const index_t width = extents.groups * 2 * extents.dim;
    return {packed.data() + part * extents.dim,
            extents.batch,
            extents.keys,
            extents.groups,
            extents.dim,
            extents.keys * width,
            width,
            2 * extents.dim};
  }
  HeadsView<T> keys() const { return part(0); }
  HeadsView<T> values() const { return part(1); }
  HeadsView<T> out() const {
    return HeadsView<T>::dense(out_values.data(), extents.batch, extents.queries, extents.heads, extents.dim);
  }
  HeadsView<float> log_sum_exp() const {
    return HeadsView<float>::dense(log_sum_exp_values.data(), extents.batch, extents.queries, extents.heads,
                                   1);
  }
  template <class Mask>
  void attend(const Mask& mask) const {
    attention(host, queries(), keys(), values(), mask, out(), {.scale = scale, .log_sum_exp = log_sum_exp()});
  }
  template <class Sees, class Bias>
  void check(Sees&& sees, Bias&& bias) const {
    const auto expected = oracle::attention<T>(queries(), keys(), values(), scale, sees, bias);
    STEPVIDEO_CHECK_CLOSE(out_values, expected.out, bound<T>);
    STEPVIDEO_CHECK_CLOSE(log_sum_exp_values, expected.log_sum_exp, bound<T>);
  }
};

const auto no_bias = [](index_t, index_t, index_t) { return 0.0; };
const auto sees_all = [](index_t, index_t, index_t) { return true; };

template <class T, class Test>
void on_random_problems(Test&& test) {
  std::mt19937 engine(29);
  const int tokens[] = {1, 2, 15, 16, 17, 63, 64, 65, 95, 96, 97, 108, 130, 200};
  const int dims[] = {1, 8, 20, 32, 64, 72, 128, 512};
  const auto any = [&](const auto& from) {
    return from[testing::random_int(engine, 0, std::size(from) - 1)];
  };
  for (int trial = 0; trial < 40; ++trial) {
    const int groups = testing::random_int(engine, 1, 3);
    test(engine, Problem<T>(engine, {.batch = testing::random_int(engine, 1, 3),
                                     .queries = any(tokens),
                                     .keys = any(tokens),
                                     .heads = groups * testing::random_int(engine, 1, 3),
                                     .groups = groups,
                                     .dim = any(dims)}));
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(full_attention_agrees_with_the_oracle_on_ragged_shapes, T, Elements) {
  on_random_problems<T>([](std::mt19937&, const Problem<T>& problem) {
    problem.attend(FullMask{});
    problem.check(sees_all, no_bias);
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(causal_attention_agrees_with_the_oracle_on_ragged_shapes, T, Elements) {
  on_random_problems<T>([](std::mt19937&, const Problem<T>& problem) {
    problem.attend(CausalMask{});
    problem.check([](index_t, index_t query, index_t key) { return key <= query; }, no_bias);
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(square_root_alibi_agrees_with_the_oracle, T, Elements) {
  on_random_problems<T>([](std::mt19937& engine, const Problem<T>& problem) {
    const auto slopes = testing::random_normal<float>(problem.extents.heads, engine, 0.5f);
    problem.attend(SqrtAlibiMask{slopes.vector()});
    problem.check([](index_t, index_t query, index_t key) { return key <= query; },
                  [&](index_t head, index_t query, index_t key) {
                    return -double(slopes[head]) * std::sqrt(double(query - key));
                  });
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(padded_keys_receive_no_weight, T, Elements) {
  on_random_problems<T>([](std::mt19937& engine, const Problem<T>& problem) {
    const auto& e = problem.extents;
    Buffer<index_t> lengths(e.batch);
    for (index_t& length : lengths) length = testing::random_int(engine, 1, static_cast<int>(e.keys));
    // Padding that is NaN shows whether it is touched.
    for (index_t b = 0; b < e.batch; ++b)
      for (index_t key = lengths[b]; key < e.keys; ++key)
        for (index_t group = 0; group < e.groups; ++group)
          for (index_t i = 0; i < e.dim; ++i)
            problem.keys().row(b, key, group)[i] = problem.values().row(b, key, group)[i] = T(NAN);
    problem.attend(KeyPrefixMask{lengths.vector()});
    problem.check([&](index_t batch, index_t, index_t key) { return key < lengths[batch]; }, no_bias);
  });
}

BOOST_AUTO_TEST_CASE(a_query_without_keys_gets_zeros_and_minus_infinity) {
  std::mt19937 engine(1);
  const Problem<float> problem(engine,
                               {.batch = 2, .queries = 5, .keys = 7, .heads = 3, .groups = 1, .dim = 40});
  Buffer<index_t> lengths(2);
  lengths[0] = 0, lengths[1] = 7;
  problem.attend(KeyPrefixMask{lengths.vector()});
  const index_t size = 5 * 3 * 40;
  for (index_t i = 0; i < size; ++i) BOOST_REQUIRE_EQUAL(problem.out_values[i], 0.0f);
  for (index_t i = size; i < 2 * size; ++i) BOOST_REQUIRE(std::isfinite(problem.out_values[i]));
  for (index_t i = 0; i < 15; ++i) BOOST_REQUIRE_EQUAL(problem.log_sum_exp_values[i], -INFINITY);
  for (index_t i = 15; i < 30; ++i) BOOST_REQUIRE(std::isfinite(problem.log_sum_exp_values[i]));
}

BOOST_AUTO_TEST_CASE(large_scores_do_not_overflow_and_vanish_only_where_they_should) {
  std::mt19937 engine(8);
  const Problem<float> problem(engine, {.queries = 40, .keys = 150, .heads = 2, .groups = 2, .dim = 32});
  for (float& q : problem.query_values) q *= 300.0f;
  problem.attend(FullMask{});
  const auto expected = oracle::attention<float>(problem.queries(), problem.keys(), problem.values(),
                                                 problem.scale, sees_all, no_bias);
  // Scores of a few thousand carry rounding errors of 1e-4, and the exponential turns them into relative
  // ones.
  STEPVIDEO_CHECK_CLOSE(problem.out_values, expected.out, 5e-4);
  STEPVIDEO_CHECK_CLOSE(problem.log_sum_exp_values, expected.log_sum_exp, 1e-6);
}

BOOST_AUTO_TEST_CASE(a_nan_in_a_query_reaches_its_result_and_no_other) {
  std::mt19937 engine(9);
  const Problem<float> problem(engine, {.queries = 20, .keys = 70, .dim = 64});
  problem.queries().row(0, 3, 0)[10] = NAN;
  problem.attend(FullMask{});
  for (index_t query = 0; query < 20; ++query)
    for (index_t i = 0; i < 64; ++i)
      BOOST_REQUIRE_EQUAL(std::isnan(problem.out().row(0, query, 0)[i]), query == 3);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(parts_of_the_keys_merge_into_the_whole, T, Elements) {
  std::mt19937 engine(31);
  for (int trial = 0; trial < 20; ++trial) {
    const Extents e{.batch = testing::random_int(engine, 1, 2),
                    .queries = testing::random_int(engine, 1, 70),
                    .keys = testing::random_int(engine, 3, 200),
                    .heads = 4,
                    .groups = 2,
                    .dim = 64};
    const Problem<T> problem(engine, e);
    // The first part may be empty, the second never is.
    const index_t cuts[] = {0, testing::random_int(engine, 0, 1), testing::random_int(engine, 2, int(e.keys)),
                            e.keys};
    const auto partial = testing::poisoned<T>(problem.out_values.size());
    const auto partial_log_sum_exp = testing::poisoned<float>(problem.log_sum_exp_values.size());
    for (int p = 0; p < 3; ++p) {
      auto keys = problem.keys(), values = problem.values();
      keys.data += cuts[p] * keys.token_stride, values.data += cuts[p] * values.token_stride;
      keys.tokens = values.tokens = cuts[p + 1] - cuts[p];
      auto out = problem.out();
      auto log_sum_exp = problem.log_sum_exp();
      if (p > 0) out.data = partial.data(), log_sum_exp.data = partial_log_sum_exp.data();
      attention(host, problem.queries(), keys, values, FullMask{}, out,
                {.scale = problem.scale, .log_sum_exp = log_sum_exp});
      if (p > 0) merge_attention(host, out, log_sum_exp, problem.out(), problem.log_sum_exp());
    }
    problem.check(sees_all, no_bias);
  }
}

BOOST_AUTO_TEST_CASE(merging_two_empty_parts_stays_empty) {
  SoftmaxState empty;
  const auto factors = merge(empty, SoftmaxState::from_log_sum_exp(-INFINITY));
  BOOST_CHECK(empty.is_empty());
  BOOST_CHECK_EQUAL(empty.log_sum_exp(), -INFINITY);
  BOOST_CHECK(std::isfinite(factors.into) && std::isfinite(factors.other));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_number_of_threads_gives_the_same_bits, T, Elements) {
  std::mt19937 engine(6);
  const Problem<T> problem(engine,
                           {.batch = 2, .queries = 230, .keys = 301, .heads = 3, .groups = 3, .dim = 64});
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    problem.attend(FullMask{});
    return std::vector<T>(problem.out_values.begin(), problem.out_values.end());
  };
  const auto one = run(1);
  for (int threads : {2, 3, 5}) BOOST_CHECK(one == run(threads));
}

BOOST_AUTO_TEST_CASE(alibi_slopes_equal_those_of_the_release) {
  const auto golden =
      nlohmann::json::parse(std::ifstream(STEPVIDEO_TEST_DATA "/golden/step_llm_tiny/slopes.json"));
  BOOST_REQUIRE_EQUAL(golden.size(), 4u);
  for (const auto& [heads, slopes] : golden.items()) {
    BOOST_REQUIRE_EQUAL(slopes.size(), std::stoul(heads));
    for (int head = 0; head < std::stoi(heads); ++head)
      BOOST_CHECK_CLOSE(alibi_slope(head, std::stoi(heads)), slopes[head].get<float>(), 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  const Buffer<float> memory(4096);
  const auto view = [&](index_t tokens, index_t heads, index_t dim) {
    return HeadsView<float>::dense(memory.data(), 1, tokens, heads, dim);
  };
  const auto refused = [&](auto queries, auto keys, auto values, auto out, const char* text) {
    BOOST_CHECK_EXCEPTION(
        attention(host, queries, keys, values, FullMask{}, out, {}), RequestError,
        [&](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; });
  };
  refused(view(3, 2, 8), view(4, 2, 16), view(4, 2, 16), view(3, 2, 8), "batch and head dimension");
  refused(view(3, 3, 8), view(4, 2, 8), view(4, 2, 8), view(3, 3, 8),
          "3 query heads cannot share 2 key heads");
  refused(view(3, 2, 8), view(4, 2, 8), view(5, 2, 8), view(3, 2, 8), "values (1, 5, 2, 8)");
  refused(view(3, 2, 8), view(4, 2, 8), view(4, 2, 8), view(4, 2, 8), "out is (1, 4, 2, 8)");
  refused(view(1, 1, 520), view(1, 1, 520), view(1, 1, 520), view(1, 1, 520), "wider than the host's 512");
}
