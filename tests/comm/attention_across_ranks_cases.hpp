// Attention whose tokens and heads ranks share, against attention of one rank: for ranks of any kind.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/mesh.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/kernels/attention/attention.hpp>

#include "kernels/attention/attention_problem.hpp"

namespace stepvideo::testing {

inline const auto sees_all = [](index_t, index_t, index_t) { return true; };
inline const auto no_bias = [](index_t, index_t, index_t) { return 0.0f; };

/// The share of a whole tensor that a rank holds.
template <class T>
HeadsView<T> share_of(HeadsView<T> whole, Shard tokens, Shard heads) {
  whole.data = whole.row(0, tokens.first, heads.first);
  whole.tokens = tokens.count, whole.heads = heads.count;
  return whole;
}

template <class T>
std::vector<T> result_of(const AttentionProblem<T>& problem) {
  std::vector<T> elements;
  for_each_element(problem.out.view, [&](index_t, T element) { elements.push_back(element); });
  return elements;
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}
template <class T>
void forget_result(AttentionProblem<T>& problem) {
  T* const data = problem.out.storage.data();
  std::fill_n(data, problem.out.storage.size(), T(NAN));
}

/// Sharded equals unsharded: the same bits without a ring, the same bits as any mesh of the same ring with
/// one, and those within the error budget of attention itself. `attend(problem, mesh, granule)` runs a
/// problem on all ranks of a mesh; each writes its share of problem.out.
template <class T, class Attend>
void sharded_is_unsharded(const Attend& attend, const std::vector<Topology>& topologies, int batch,
                          int tokens, int heads, int dim, long long granule = 1) {
  std::mt19937 engine(static_cast<unsigned>(tokens));
  AttentionProblem<T> problem(
      engine,
      {.batch = batch, .queries = tokens, .keys = tokens, .heads = heads, .groups = heads, .dim = dim});
  // The sums that the budget judges as well, which ranks do not tell.
  attention(host, problem.queries.view, problem.keys.view, problem.values.view, FullMask{}, problem.out.view,
            {.scale = problem.scale, .log_sum_exp = problem.log_sum_exp.view});
  forget_result(problem);
  attend(problem, Mesh{}, 1);
  ErrorBudget<T> budget;
  std::map<int, std::vector<T>> by_ring{{1, result_of(problem)}};
  for (const Topology& gpus : topologies) {
    forget_result(problem);
    attend(problem, Mesh{gpus}, granule);
    const auto [known, is_first] = by_ring.try_emplace(gpus.ring, result_of(problem));
    if (is_first) budget.judge(problem, sees_all, no_bias);
    BOOST_CHECK_MESSAGE(same_bits(result_of(problem), known->second),
                        to_string(gpus) << " gives other bits than another mesh of the same ring");
  }
  budget.check();
}

inline std::vector<Topology> every_topology(int most_ranks, int heads) {
  std::vector<Topology> topologies;
  for (int ranks = 1; ranks <= most_ranks; ++ranks)
    for_each_topology(ranks, [&](Topology gpus) {
      gpus.sharding = Sharding::uneven;
      if (gpus.head_shards() <= heads) topologies.push_back(gpus);
    });
  return topologies;
}

}  // namespace stepvideo::testing
