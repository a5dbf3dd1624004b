#define BOOST_TEST_MODULE attention_across_ranks
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <stepvideo/comm/parallel_attention.hpp>
#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "comm/attention_across_ranks_cases.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

/// A workspace whose bytes are NaN in every element type: what is read before it is written shows.
Buffer<std::byte> poisoned_bytes(std::size_t bytes) {
  Buffer<std::byte> buffer(static_cast<index_t>(bytes));
  if (bytes > 0) std::memset(buffer.data(), 0xFF, bytes);
  return buffer;
}

/// On ranks that are threads.
template <class T>
void attend_across(const AttentionProblem<T>& problem, Mesh mesh, long long granule = 1) {
  const auto& e = problem.extents;
  const HeadShape heads{.count = static_cast<int>(e.heads), .dim = static_cast<int>(e.dim)};
  run_on_threads(mesh.ranks(), [&](ThreadCommunicator& communicator) {
    const AttentionAcrossRanks<T, ThreadCommunicator> attend(communicator, mesh, heads, granule);
    // The halves of a guided pair have the same problem here; one of them writes.
    const bool writes = mesh.at(communicator.rank()).guidance == 0;
    const Shard tokens = attend.tokens(e.keys), own = mesh.projected_heads(heads, communicator.rank());
    auto unused = poisoned_heads<T>(HeadsLayout::token_major, e.batch, tokens.count, own.count, e.dim);
    const auto workspace = poisoned_bytes(attend.workspace_bytes(e.batch, e.keys));
    attend(host, share_of(problem.queries.view, tokens, own), share_of(problem.keys.view, tokens, own),
           share_of(problem.values.view, tokens, own),
           writes ? share_of(problem.out.view, tokens, own) : unused.view, e.keys, Workspace(workspace));
  });
}

const auto on_threads = [](const auto& problem, Mesh mesh, long long granule) {
  attend_across(problem, mesh, granule);
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_topology_up_to_8_ranks_attends_as_one_rank_does) {
  sharded_is_unsharded<float>(on_threads, every_topology(8, 8), 2, 101, 8, 24);
  sharded_is_unsharded<bf16>(on_threads, every_topology(8, 8), 1, 64, 8, 64);
}

BOOST_AUTO_TEST_CASE(uneven_3_5_and_7_share_heads_and_tokens_that_they_do_not_divide) {
  std::vector<Topology> topologies;
  for (const int ranks : {3, 5, 7})
    for_each_topology(ranks, [&](Topology gpus) {
      gpus.sharding = Sharding::uneven;
      topologies.push_back(gpus);
    });
  topologies.push_back({.ulysses = 3, .ring = 5, .sharding = Sharding::uneven});
  topologies.push_back({.tensor = 3, .ulysses = 2, .ring = 2, .sharding = Sharding::uneven});
  sharded_is_unsharded<bf16>(on_threads, topologies, 2, 211, 11, 32);
  // As many heads as ranks, and hardly more tokens.
  sharded_is_unsharded<float>(on_threads, topologies, 1, 16, 7, 8);
}

BOOST_AUTO_TEST_CASE(shares_of_whole_blocks_attend_alike) {
  std::vector<Topology> topologies{{.ulysses = 4}, {.ring = 3}, {.ulysses = 2, .ring = 3}};
  for (Topology& gpus : topologies) gpus.sharding = Sharding::uneven;
  sharded_is_unsharded<bf16>(on_threads, topologies, 1, 128 * 6 + 17, 4, 16, 128);
}

BOOST_AUTO_TEST_CASE(a_ring_rounds_once) {
  std::mt19937 engine(5);
  const AttentionExtents extents{.batch = 1, .queries = 97, .keys = 97, .heads = 3, .groups = 3, .dim = 32};
  AttentionProblem<bf16> narrow(engine, extents);
  AttentionProblem<float> wide(engine, extents);
  const auto widen = [](HeadsView<bf16> from, HeadsView<float> to) {
    std::vector<float> elements;
    for_each_element(from, [&](index_t, bf16 element) { elements.push_back(element); });
    for_each_element(to, [&](index_t i, float& element) { element = elements[std::size_t(i)]; });
  };
  widen(narrow.queries.view, wide.queries.view);
  widen(narrow.keys.view, wide.keys.view);
  widen(narrow.values.view, wide.values.view);
  const Mesh mesh{{.ring = 6, .sharding = Sharding::uneven}};
  attend_across(narrow, mesh);
  attend_across(wide, mesh);
  std::vector<bf16> rounded;
  for (const float element : result_of(wide)) rounded.push_back(bf16(element));
  BOOST_CHECK(same_bits(result_of(narrow), rounded));
}

BOOST_AUTO_TEST_CASE(rotary_embedding_of_a_share_is_that_of_the_whole) {
  constexpr HeadShape heads{.count = 5, .dim = 16};
  constexpr Topology gpus{.ulysses = 3, .ring = 2, .sharding = Sharding::uneven};
  using Attention = ParallelAttention<float, heads, gpus, Rope3d<8, 4, 4>>;
  constexpr LatentShape latent{3, 5, 7};
  constexpr index_t tokens = latent.tokens();
  const auto table = Attention::rope_table(host, latent);
  std::mt19937 engine(3);
  auto whole = random_heads<float>(HeadsLayout::token_major, 2, tokens, heads.count, heads.dim, engine, 1.0f);
  auto shared = poisoned_heads<float>(HeadsLayout::token_major, 2, tokens, heads.count, heads.dim);
  convert(host, HeadsView<const float>(whole.view), shared.view);
  rope3d(host, whole.view, table.view());
  run_on_threads(static_cast<int>(gpus.ranks()), [&](ThreadCommunicator& communicator) {
    const auto attend = Attention::over(communicator);
    rope3d(host, share_of(shared.view, attend.tokens(tokens), {0, heads.count}), attend.local(table.view()));
  });
  std::vector<float> expected, actual;
  for_each_element(whole.view, [&](index_t, float element) { expected.push_back(element); });
  for_each_element(shared.view, [&](index_t, float element) { actual.push_back(element); });
  BOOST_CHECK(same_bits(actual, expected));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_shared_is_refused_with_the_rule) {
  const auto message = [](Topology gpus, int ranks, int tokens, int local_tokens) {
    try {
      run_on_threads(ranks, [&](ThreadCommunicator& communicator) {
        const AttentionAcrossRanks<float, ThreadCommunicator> attend(communicator, Mesh{gpus}, {4, 8});
        Buffer<float> values(index_t{local_tokens} * 4 * 8), results(index_t{local_tokens} * 4 * 8);
        std::fill_n(values.data(), values.size(), 1.0f);
        const auto in = HeadsView<float>::dense(values.data(), 1, local_tokens, 4, 8);
        const auto out = HeadsView<float>::dense(results.data(), 1, local_tokens, 4, 8);
        const auto workspace = poisoned_bytes(attend.workspace_bytes(1, tokens));
        attend(host, in, in, in, out, tokens, Workspace(workspace));
      });
    } catch (const RequestError& error) {
      return std::string(error.what());
    }
    return std::string("nothing was refused");
  };
  BOOST_CHECK_EQUAL(message({.ring = 2}, 2, 10, 5), "nothing was refused");
  BOOST_CHECK_EQUAL(
      message({.ring = 2}, 3, 10, 5),
      "the topology guidance=1,tensor=1,ulysses=1,ring=2 makes 2 ranks and there are 3; guidance is "
      "1 or 2 and the product must be the number of ranks");
  BOOST_CHECK_EQUAL(
      message({.ulysses = 5, .sharding = Sharding::uneven}, 5, 10, 2),
      "tensor x ulysses = 5 is more than 4 heads, and a rank without a head has no work; move ranks "
      "to ring or guidance");
  BOOST_CHECK_EQUAL(message({.ring = 3}, 3, 10, 3),
                    "ulysses x ring = 3 does not divide 10 tokens; take a divisor or ask for uneven shards");
  const std::string share = message({.ring = 2}, 2, 12, 5);
  BOOST_CHECK_MESSAGE(
      share.find("has 6 of 12 tokens and 4 of 4 heads of 8; views hold the rank's share") != share.npos,
      share);
}
