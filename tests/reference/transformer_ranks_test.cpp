// The transformer among ranks, against itself on one.
#define BOOST_TEST_MODULE transformer_ranks
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include <stepvideo/comm/thread_communicator.hpp>

#include "model/noise_source.hpp"
#include "model/shared_source.hpp"
#include "model/transformer.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::model;

namespace {

using Elements = std::tuple<float, bf16>;

/// A batch of prompts and latents.
struct Input {
  TransformerConfig config;
  LatentShape shape;
  Buffer<float> latents, times, llm, clip;
  std::vector<index_t> key_lengths;
  index_t llm_tokens, clip_tokens;

  static constexpr index_t batch = 2;

  index_t size() const { return batch * config.in_channels * shape.tokens(); }
};

Input synthetic() {
  std::mt19937 engine(3);
  const auto random = [&](index_t count) { return testing::random_normal<float>(count, engine); };
  const TransformerConfig config{.heads = {.count = 8, .dim = 16},
                                 .layers = 2,
                                 .in_channels = 4,
                                 .out_channels = 4,
                                 .llm_width = 24,
                                 .clip_width = 20};
  // 270 tokens: more than a tile of rows, and no whole number of granules.
  const LatentShape shape{3, 10, 9};
  Input input{config,
              shape,
              random(2 * 4 * shape.tokens()),
              Buffer<float>(2),
              random(2 * 7 * 24),
              random(2 * 5 * 20),
              {12, 9},
              7,
              5};
  input.times[0] = 0.25f, input.times[1] = 0.5f;
  return input;
}

Input golden() {
  const auto folder = std::filesystem::path(STEPVIDEO_TEST_DATA) / "golden/dit_tiny";
  const auto file = io::Checkpoint::open(folder / "io.safetensors");
  return {read_transformer_config(folder / "config.json"),
          {3, 4, 6},
          file.load<float>("hidden_states"),
          file.load<float>("timestep"),
          file.load<float>("encoder_hidden_states"),
          file.load<float>("encoder_hidden_states_2"),
          {15, 11},
          10,
          5};
}

/// The velocity that a rank of `gpus` gets, on `whole` weights, of the elements [first, first + count).
template <class T, class Whole, class C>
void forward(C& communicator, Topology gpus, const Input& input, Whole whole, Buffer<float>& velocity,
             std::size_t spare_bytes) {
  const Mesh mesh{gpus};
  const Shard prompts = mesh.prompts(communicator.rank());
  Transformer<T, Host, NoTap, C> transformer(
      host, input.config, SharedSource<Whole>(std::move(whole), input.config, mesh, communicator.rank()),
      communicator, mesh);
  const index_t each = input.size() / Input::batch;
  const auto text = [&](const Buffer<float>& states, index_t tokens, index_t width) {
    return TokensView<const float>::dense(states.data() + prompts.first * tokens * width, prompts.count,
                                          tokens, width);
  };
  auto prepared = transformer.prepare_text(
      text(input.llm, input.llm_tokens, input.config.llm_width),
      text(input.clip, input.clip_tokens, input.config.clip_width),
      std::span(input.key_lengths).subspan(std::size_t(prompts.first), std::size_t(prompts.count)),
      spare_bytes);
  // Twice: buffers that are there already must do.
  for (int pass = 0; pass < 2; ++pass)
    transformer.forward(
        {input.latents.data() + prompts.first * each, prompts.count, input.config.in_channels, input.shape},
        {input.times.data() + prompts.first, prompts.count}, prepared,
        {velocity.data() + prompts.first * each, prompts.count, input.config.out_channels, input.shape});
}

/// The same by all ranks of `gpus`, which must agree in every bit.
template <class T, class Whole>
Buffer<float> on_ranks(Topology gpus, const Input& input, const Whole& whole,
                       std::size_t spare_bytes = any_number_of_bytes) {
  std::vector<Buffer<float>> velocities;
  for (int rank = 0; rank < Mesh{gpus}.ranks(); ++rank)
    velocities.push_back(testing::poisoned<float>(input.size()));
  run_on_threads(Mesh{gpus}.ranks(), [&](ThreadCommunicator& communicator) {
    forward<T>(communicator, gpus, input, whole, velocities[std::size_t(communicator.rank())], spare_bytes);
  });
  Buffer<float> pair(input.size());
  for (int rank = 0; rank < Mesh{gpus}.ranks(); ++rank) {
    const Mesh mesh{gpus};
    const Shard prompts = mesh.prompts(rank);
    const index_t each = input.size() / Input::batch, first = prompts.first * each,
                  count = prompts.count * each;
    const Buffer<float>& mine = velocities[std::size_t(rank)];
    if (rank % mesh.group(Axis::prompt, rank).size == 0)
      std::copy_n(mine.data() + first, count, pair.data() + first);
    BOOST_CHECK_MESSAGE(std::memcmp(mine.data() + first, pair.data() + first, std::size_t(count) * 4) == 0,
                        to_string(gpus) << ": rank " << rank << " has another velocity");
  }
  return pair;
}

bool same_bits(const Buffer<float>& a, const Buffer<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// The error of float32 sums in another order, and of contributions rounded to 16 bits before they are
/// summed.
template <class T>
constexpr double bound = std::same_as<T, float> ? 2e-6 : 8e-3;

template <class T, class Whole>
void every_topology_agrees(const Input& input, const Whole& whole, std::initializer_list<int> rank_counts) {
  OneRank<Host> one;
  auto alone = testing::poisoned<float>(input.size());
  forward<T>(one, {}, input, whole, alone, any_number_of_bytes);
  std::map<std::pair<int, int>, Buffer<float>> by_sums;  // what is added up depends on tensor and ring
  double worst = 0;
  int compared = 0, alike = 0;
  for (const int ranks : rank_counts)
    for_each_topology(ranks, [&](Topology gpus) {
      gpus.sharding = Sharding::uneven;
      if (gpus.head_shards() > input.config.heads.count) return;
      const auto velocity = on_ranks<T>(gpus, input, whole);
      ++compared;
      const bool has_granules = token_granule<Host>(input.shape.tokens(), gpus) > 1;
      if (gpus.tensor == 1 && gpus.ring == 1 && has_granules) {
        ++alike;
        BOOST_CHECK_MESSAGE(same_bits(velocity, alone), to_string(gpus) << " has other bits than one rank");
        return;
      }
      const double error = testing::relative_error(velocity, alone);
      worst = std::max(worst, error);
      BOOST_CHECK_MESSAGE(error <= bound<T>, to_string(gpus) << " differs by " << error);
      if (!has_granules) return;
      const auto [first, is_new] =
          by_sums.try_emplace({gpus.tensor, gpus.ring}, testing::place(host, velocity));
      if (!is_new)
        BOOST_CHECK_MESSAGE(same_bits(velocity, first->second),
                            to_string(gpus) << " has other bits than its tensor and ring with other degrees");
    });
  BOOST_TEST_MESSAGE(element_name<T> << ": " << compared << " topologies, " << alike
                                     << " with one rank's bits, the others within " << worst);
  BOOST_CHECK_GT(alike, 0);
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(every_topology_of_up_to_8_ranks_agrees_with_one_rank, T, Elements) {
  const Input input = synthetic();
  const NoiseSource<Host> weights(host, expected_tensors(input.config), 5);
  every_topology_agrees<T>(input, weights, {1, 2, 3, 4, 5, 6, 7, 8});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_golden_model_agrees_with_itself_on_ranks, T, Elements) {
  const Input input = golden();
  const auto checkpoint =
      io::Checkpoint::open(STEPVIDEO_TEST_DATA "/golden/dit_tiny/diffusion_pytorch_model.safetensors");
  every_topology_agrees<T>(input, CheckpointSource(checkpoint, expected_tensors(input.config)), {2, 3, 4});
}

BOOST_AUTO_TEST_CASE(text_that_is_made_again_has_the_same_bits_on_ranks) {
  const Input input = synthetic();
  const NoiseSource<Host> weights(host, expected_tensors(input.config), 5);
  const Topology gpus{.tensor = 2, .ulysses = 2};
  BOOST_CHECK(same_bits(on_ranks<float>(gpus, input, weights), on_ranks<float>(gpus, input, weights, 0)));
}

BOOST_AUTO_TEST_CASE(a_rank_reads_its_part_of_the_weights) {
  const Input input = synthetic();
  const NoiseSource<Host> weights(host, expected_tensors(input.config), 5);
  const TransformerConfig& config = input.config;
  const index_t width = config.width(), dim = config.heads.dim;
  const Mesh mesh{{.tensor = 3, .sharding = Sharding::uneven}};
  for (int rank = 0; rank < 3; ++rank) {
    const Shard heads = mesh.projected_heads(config.heads, rank), columns = mesh.columns(4 * width, rank);
    const BlockShare share = block_share(config, mesh, rank);
    BOOST_CHECK_EQUAL(share.attention_width, heads.count * dim);
    BOOST_CHECK_EQUAL(share.feed_forward, columns.count);
    SharedSource<NoiseSource<Host>> source(weights, config, mesh, rank);
    const auto check = [&](const char* name, index_t rows, index_t depth, Shard of_rows, Shard of_depth) {
      const std::string tensor = std::string("transformer_blocks.1.") + name;
      Buffer<float> whole(rows * depth);
      auto part = testing::poisoned<float>(of_rows.count * of_depth.count);
      NoiseSource<Host>(weights).read(tensor, whole.vector());
      source.read(tensor, part.vector());
      bool is_same = true;
      for (index_t row = 0; row < of_rows.count; ++row)
        for (index_t i = 0; i < of_depth.count; ++i)
          is_same = is_same && part[row * of_depth.count + i] ==
                                   whole[(of_rows.first + row) * depth + of_depth.first + i];
      BOOST_CHECK_MESSAGE(is_same, name << " of rank " << rank);
    };
    const auto of = [&](index_t each) { return Shard{heads.first * each, heads.count * each}; };
    const Shard all{0, width};
    check("attn1.wqkv.weight", 3 * width, width, of(3 * dim), all);
    check("attn1.wo.weight", width, width, all, of(dim));
    check("attn2.wq.weight", width, width, of(dim), all);
    check("attn2.wkv.weight", 2 * width, width, of(2 * dim), all);
    check("attn2.wo.weight", width, width, all, of(dim));
    check("ff.net.0.proj.weight", 4 * width, width, columns, all);
    check("ff.net.2.weight", width, 4 * width, all, columns);
  }
}

BOOST_AUTO_TEST_CASE(ranks_that_the_heads_do_not_go_round_are_refused) {
  const Input input = synthetic();
  const NoiseSource<Host> weights(host, expected_tensors(input.config), 5);
  BOOST_CHECK_THROW(on_ranks<float>({.ulysses = 3}, input, weights), RequestError);
  BOOST_CHECK_THROW(on_ranks<float>({.tensor = 9, .sharding = Sharding::uneven}, input, weights),
                    RequestError);
}
