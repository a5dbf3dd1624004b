// A transformer block of shared heads, columns and tokens, against the same block on one rank.
#define BOOST_TEST_MODULE shared_layers
#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include <stepvideo/comm/attention_across_ranks.hpp>
#include <stepvideo/comm/shared_layers.hpp>
#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

constexpr LatentShape latent{3, 5, 7};
constexpr index_t tokens = latent.tokens(), batch = 2;

/// A block's weights, as checkpoints store them.
template <class T>
struct Block {
  HeadShape heads;
  index_t columns;
  Buffer<T> wqkv, wo, into_hidden, out_of_hidden, query_norm, key_norm;

  Block(std::mt19937& engine, HeadShape h, index_t c) : heads(h), columns(c) {
    const index_t width = heads.width();
    const auto weight = [&](index_t rows, index_t depth) {
      return random_normal<T>(rows * depth, engine, 1 / std::sqrt(static_cast<float>(depth)));
    };
    wqkv = weight(3 * width, width), wo = weight(width, width);
    into_hidden = weight(columns, width), out_of_hidden = weight(width, columns);
    query_norm = random_normal<T>(heads.dim, engine), key_norm = random_normal<T>(heads.dim, engine);
  }
};

/// What one rank of the mesh makes of its tokens of `stream`, (batch, tokens, width). `shares_stream`: tokens
/// are shared along tensor as well, between the products.
template <class T>
void run_block(ThreadCommunicator& communicator, Mesh mesh, const Block<T>& block,
               const RopeTable<Host>& table, TokensView<float> stream, bool shares_stream) {
  const HeadShape all = block.heads;
  const int rank = communicator.rank();
  const SharedLayers<ThreadCommunicator> layers(communicator, mesh);
  const AttentionAcrossRanks<T, ThreadCommunicator> attend(communicator, mesh, all);
  const Shard own = mesh.tokens(tokens, rank), heads = mesh.projected_heads(all, rank),
              columns = mesh.columns(block.columns, rank);
  const index_t width = all.width(), local = heads.count * all.dim;
  const Shard part = shares_stream ? layers.tokens_along_tensor(own.count) : Shard{0, own.count};

  const auto make = [](Buffer<T>& memory, index_t t, index_t w) {
    memory = poisoned<T>(batch * t * w);
    return TokensView<T>::dense(memory.data(), batch, t, w);
  };
  Buffer<T> memory[7];
  const auto normed = make(memory[0], own.count, width), packed = make(memory[1], own.count, 3 * local),
             attended = make(memory[2], own.count, local), delta = make(memory[3], own.count, width),
             hidden = make(memory[4], own.count, columns.count),
             own_normed = make(memory[5], part.count, width), own_delta = make(memory[6], part.count, width);
  stream.data = stream.row(0, own.first + part.first), stream.tokens = part.count;

  const auto norm = [&] {
    layer_norm(host, stream, LayerNormTerms<T>{}, 1e-5f, own_normed);
    if (shares_stream)
      layers.gather_parts(host, TokensView<const T>(own_normed), normed);
    else
      std::memcpy(normed.data, own_normed.data, std::size_t(batch * own.count * width) * sizeof(T));
  };
  const auto add = [&] {
    if (shares_stream) {
      layers.add_up_to_parts(host, TokensView<const T>(delta), own_delta);
    } else {
      layers.add_up(host, delta);
      std::memcpy(own_delta.data, delta.data, std::size_t(batch * own.count * width) * sizeof(T));
    }
    for (index_t b = 0; b < batch; ++b)
      for (index_t t = 0; t < part.count; ++t)
        for (index_t i = 0; i < width; ++i) stream.row(b, t)[i] += float(own_delta.row(b, t)[i]);
  };
  const auto packed_heads = [&](index_t p, index_t parts) {
    return HeadsView<T>{
        packed.data + p * all.dim, batch,      own.count, heads.count, parts * all.dim, packed.batch_stride,
        packed.token_stride,       3 * all.dim};
  };
  const auto result = HeadsView<T>::dense(attended.data, batch, own.count, heads.count, all.dim);

  norm();
  linear(host, normed.rows(), results_share(block.wqkv.matrix(3 * width, width), heads, 3 * all.dim), Store{},
         packed.rows());
  qk_norm_rope(host, packed_heads(0, 3), QkNorm<T>{block.query_norm.vector(), block.key_norm.vector(), 1e-6f},
               attend.local(table.view()), QkvOutput<T>{packed_heads(0, 1), packed_heads(1, 1)});
  const Buffer<std::byte> workspace(static_cast<index_t>(attend.workspace_bytes(batch, tokens)));
  attend(host, packed_heads(0, 1), packed_heads(1, 1), packed_heads(2, 1), result, tokens,
         Workspace(workspace));
  linear(host, attended.rows(), depth_share(block.wo.matrix(width, width), heads, all.dim), Store{},
         delta.rows());
  add();
  norm();
  linear(host, normed.rows(), results_share(block.into_hidden.matrix(block.columns, width), columns),
         Activate<GeluTanh>{}, hidden.rows());
  linear(host, hidden.rows(), depth_share(block.out_of_hidden.matrix(width, block.columns), columns), Store{},
         delta.rows());
  add();
}

/// Two blocks over a mesh; the stream of the whole video.
template <class T>
std::vector<float> run_blocks(const std::vector<Block<T>>& blocks, const std::vector<float>& input, Mesh mesh,
                              bool shares_stream) {
  const index_t width = blocks[0].heads.width();
  const auto table =
      make_rope_table<T>(host, latent, RopeSplit::of_head(static_cast<int>(blocks[0].heads.dim)));
  std::vector<float> result(input.size(), std::nanf(""));
  run_on_threads(mesh.ranks(), [&](ThreadCommunicator& communicator) {
    const int rank = communicator.rank();
    const SharedLayers<ThreadCommunicator> layers(communicator, mesh);
    std::vector<float> mine = input;
    const auto stream = TokensView<float>::dense(mine.data(), batch, tokens, width);
    for (const Block<T>& block : blocks) run_block(communicator, mesh, block, table, stream, shares_stream);

    const Shard own = mesh.tokens(tokens, rank);
    const Shard part = shares_stream ? layers.tokens_along_tensor(own.count) : Shard{0, own.count};
    std::vector<float> dense_part, local(std::size_t(batch * own.count * width)), all(input.size());
    for (index_t b = 0; b < batch; ++b)
      dense_part.insert(dense_part.end(), stream.row(b, own.first + part.first),
                        stream.row(b, own.first + part.first) + part.count * width);
    const auto as_view = [&](std::vector<float>& values, index_t t) {
      return TokensView<float>::dense(values.data(), batch, t, width);
    };
    if (shares_stream)
      layers.gather_parts(host, TokensView<const float>(as_view(dense_part, part.count)),
                          as_view(local, own.count));
    else
      local = dense_part;
    layers.gather_tokens(host, TokensView<const float>(as_view(local, own.count)), as_view(all, tokens));
    if (rank == mesh.ranks() - 1) result = all;
  });
  return result;
}

/// The largest difference of two elements, in units of the expected ones' root mean square; NaN where one is.
double largest_difference(const std::vector<float>& actual, const std::vector<float>& expected) {
  double largest = 0, squares = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(double(actual[i]) - double(expected[i]));
    if (std::isnan(difference)) return difference;
    largest = std::max(largest, difference);
    squares += double(expected[i]) * double(expected[i]);
  }
  return largest / std::sqrt(squares / static_cast<double>(expected.size()));
}

template <class T>
void sharded_blocks_are_unsharded(const std::vector<Topology>& topologies, HeadShape heads, index_t columns,
                                  double bound) {
  std::mt19937 engine(7);
  const std::vector<Block<T>> blocks = [&] {
    std::vector<Block<T>> two;
    two.emplace_back(engine, heads, columns);
    two.emplace_back(engine, heads, columns);
    return two;
  }();
  std::normal_distribution<float> normal;
  std::vector<float> input(std::size_t(batch * tokens * heads.width()));
  for (float& value : input) value = normal(engine);
  const auto expected = run_blocks(blocks, input, Mesh{}, false);
  for (const Topology& gpus : topologies)
    for (const bool shares_stream : {false, true}) {
      if (shares_stream && gpus.tensor == 1) continue;
      const auto actual = run_blocks(blocks, input, Mesh{gpus}, shares_stream);
      const double error = relative_error(actual, expected), worst = largest_difference(actual, expected);
      BOOST_CHECK_MESSAGE(error <= bound && worst <= 10 * bound,
                          to_string(gpus) << (shares_stream ? " with a shared stream" : "") << ": error "
                                          << error << ", worst element " << worst);
      BOOST_CHECK_MESSAGE(actual == run_blocks(blocks, input, Mesh{gpus}, shares_stream),
                          to_string(gpus) << " gives other bits the second time");
    }
}

std::vector<Topology> topologies_of(std::initializer_list<int> rank_counts, int heads) {
  std::vector<Topology> topologies;
  for (const int ranks : rank_counts)
    for_each_topology(ranks, [&](Topology gpus) {
      gpus.sharding = Sharding::uneven;
      if (gpus.head_shards() <= heads && gpus.guidance == 1) topologies.push_back(gpus);
    });
  return topologies;
}

}  // namespace

BOOST_AUTO_TEST_CASE(blocks_of_every_topology_up_to_8_ranks_are_those_of_one_rank) {
  sharded_blocks_are_unsharded<float>(topologies_of({2, 3, 4, 6, 8}, 8), {.count = 8, .dim = 8}, 40, 2e-6);
  sharded_blocks_are_unsharded<bf16>(topologies_of({4, 8}, 8), {.count = 8, .dim = 16}, 96, 8e-3);
}

BOOST_AUTO_TEST_CASE(blocks_of_uneven_3_5_and_7_ranks_are_those_of_one_rank) {
  sharded_blocks_are_unsharded<float>(topologies_of({3, 5, 7}, 7), {.count = 7, .dim = 8}, 37, 2e-6);
}

BOOST_AUTO_TEST_CASE(both_prompts_reach_both_halves) {
  const Mesh mesh{{.guidance = 2, .ulysses = 2}};
  std::mutex mutex;
  int right = 0;
  run_on_threads(mesh.ranks(), [&](ThreadCommunicator& communicator) {
    const SharedLayers<ThreadCommunicator> layers(communicator, mesh);
    const auto value = [](long long prompt, int i) { return static_cast<float>(prompt * 100 + i); };
    std::vector<float> mine, pair(2 * 6, -1.0f), expected;
    for (int i = 0; i < 6; ++i) mine.push_back(value(mesh.prompts(communicator.rank()).first, i));
    for (int prompt = 0; prompt < 2; ++prompt)
      for (int i = 0; i < 6; ++i) expected.push_back(value(prompt, i));
    layers.gather_prompts(host, TokensView<const float>::dense(mine.data(), 1, 3, 2),
                          TokensView<float>::dense(pair.data(), 2, 3, 2));
    const std::lock_guard lock(mutex);
    right += pair == expected;
  });
  BOOST_CHECK_EQUAL(right, 4);
}

BOOST_AUTO_TEST_CASE(tensors_with_gaps_are_refused) {
  ThreadMeetings meetings(1);
  ThreadCommunicator communicator(meetings, 0);
  const SharedLayers<ThreadCommunicator> layers(communicator, Mesh{});
  std::vector<float> values(100);
  TokensView<float> view = TokensView<float>::dense(values.data(), 2, 3, 4);
  layers.add_up(host, view);
  view.token_stride = 5;
  BOOST_CHECK_EXCEPTION(layers.add_up(host, view), RequestError, [](const RequestError& error) {
    return std::string(error.what()) ==
           "add_up: a tensor of (2, 3, 4) has gaps between tokens or batch elements; collectives take dense "
           "ones";
  });
}
