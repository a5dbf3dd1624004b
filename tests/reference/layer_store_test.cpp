// Layers that are fetched each time they run, on the host.
#define BOOST_TEST_MODULE layer_store
#include "model/layer_store.hpp"

#include <atomic>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>

#include <boost/test/unit_test.hpp>

#include "model/noise_source.hpp"
#include "model/step_llm.hpp"
#include "model/transformer.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::model;

namespace {

constexpr int layer_count = 5;

/// Layers of 64 bytes, each filled with its number.
struct Numbers {
  using Views = const std::byte*;

  std::shared_ptr<std::atomic<int>> fills = std::make_shared<std::atomic<int>>(0);
  int fails_at = -1;  ///< the fill that fails

  int layers() const { return layer_count; }
  std::size_t bytes(int) const { return 64; }
  Views over(int, std::byte* memory) const { return memory; }
  void fill(Host, WeightSource<Host>&, int layer, std::byte* memory, Buffer<std::byte>&) const {
    if ((*fills)++ == fails_at) throw std::runtime_error("the disk is gone");
    std::fill_n(memory, 64, static_cast<std::byte>(layer));
  }
};

std::unique_ptr<WeightSource<Host>> nothing() {
  return std::make_unique<NoiseSource<Host>>(host, std::vector<io::ExpectedTensor>{}, 1);
}

/// Whether the layer lies whole in the memory that was acquired.
bool is_layer(const std::byte* memory, int layer) {
  return std::all_of(memory, memory + 64,
                     [&](std::byte value) { return value == static_cast<std::byte>(layer); });
}

constexpr TransformerConfig small{.heads = {.count = 2, .dim = 64},
                                  .layers = 3,
                                  .in_channels = 8,
                                  .out_channels = 8,
                                  .llm_width = 96,
                                  .clip_width = 32};

Buffer<float> velocity(bool streams, const Quantization& quantization) {
  const auto expected = expected_tensors(small);
  std::unique_ptr<BlockStore<bf16, Host>> blocks;
  using Slabs = BlockSlabs<bf16, Host>;
  if (streams)
    blocks = std::make_unique<StreamedLayers<Host, Slabs>>(
        host, host, Slabs(small, BlockShare::whole(small), quantization),
        std::make_unique<NoiseSource<Host>>(host, expected, 3));
  Transformer<bf16, Host> transformer(host, small, NoiseSource<Host>(host, expected, 3),
                                      {.quantization = quantization}, {}, std::move(blocks));
  constexpr LatentShape shape{2, 3, 5};
  const auto noise = [](index_t size, std::uint64_t seed) {
    Buffer<float> values(size);
    fill_normal(host, seed, 0, 1.0f, values.vector());
    return values;
  };
  const auto latents = noise(8 * shape.tokens(), 4), llm = noise(7 * 96, 5), clip = noise(5 * 32, 6);
  Buffer<float> times(1), out = testing::poisoned<float>(latents.size());
  times[0] = 0.4f;
  auto text = transformer.prepare_text(TokensView<const float>::dense(llm.data(), 1, 7, 96),
                                       TokensView<const float>::dense(clip.data(), 1, 5, 32),
                                       std::vector<index_t>{9});
  for (int pass = 0; pass < 2; ++pass)
    transformer.forward({latents.data(), 1, 8, shape}, times.vector(), text, {out.data(), 1, 8, shape});
  const StreamedFacts facts = transformer.streamed();
  const BlockSlabs<bf16, Host> slabs(small, BlockShare::whole(small), quantization);
  // Two passes, and the first block of a third that is coming.
  BOOST_CHECK_EQUAL(facts.layers, streams ? 7u : 0u);
  BOOST_CHECK_EQUAL(facts.bytes,
                    streams ? 2 * (slabs.bytes(0) + slabs.bytes(1) + slabs.bytes(2)) + slabs.bytes(0) : 0u);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(layers_come_in_their_order_over_and_over_and_stay_until_they_are_released) {
  StreamedLayers<Host, Numbers> layers(host, host, Numbers{}, nothing());
  const std::byte* before = nullptr;
  for (int pass = 0; pass < 3; ++pass)
    for (int layer = 0; layer < layer_count; ++layer) {
      const std::byte* const memory = layers.acquire(host, layer);
      BOOST_CHECK(is_layer(memory, layer));
      BOOST_CHECK(memory != before);
      layers.streamed();  // the next has come, elsewhere
      BOOST_CHECK(is_layer(memory, layer));
      layers.release(host, layer);
      before = memory;
    }
}

BOOST_AUTO_TEST_CASE(a_pass_that_ended_early_is_followed_by_one_from_the_start) {
  StreamedLayers<Host, Numbers> layers(host, host, Numbers{}, nothing());
  for (const int end : {1, 3, 2, 5, 5}) {
    for (int layer = 0; layer < end; ++layer) {
      BOOST_CHECK(is_layer(layers.acquire(host, layer), layer));
      layers.release(host, layer);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_fails_on_the_way_is_told_to_who_waits_and_the_next_pass_tries_again) {
  Numbers numbers;
  numbers.fails_at = 2;
  StreamedLayers<Host, Numbers> layers(host, host, numbers, nothing());
  for (int layer = 0; layer < 2; ++layer) layers.acquire(host, layer), layers.release(host, layer);
  BOOST_CHECK_EXCEPTION(layers.acquire(host, 2), std::runtime_error, [](const std::runtime_error& error) {
    return std::string(error.what()) == "the disk is gone";
  });
  for (int layer = 0; layer < layer_count; ++layer) {
    BOOST_CHECK(is_layer(layers.acquire(host, layer), layer));
    layers.release(host, layer);
  }
}

BOOST_AUTO_TEST_CASE(a_store_that_ends_while_a_layer_is_coming_waits_for_it) {
  for (int time = 0; time < 20; ++time) {
    StreamedLayers<Host, Numbers> layers(host, host, Numbers{}, nothing());
    layers.acquire(host, 0);
  }
}

BOOST_AUTO_TEST_CASE(a_transformer_whose_blocks_are_fetched_gives_the_bits_of_one_whose_blocks_stay) {
  for (const Quantization& quantization :
       {Quantization{}, Quantization::of(3, true, true), Quantization{.products = {true, false, true}}}) {
    const auto stays = velocity(false, quantization), comes = velocity(true, quantization);
    BOOST_CHECK(std::equal(stays.begin(), stays.end(), comes.begin(), comes.end()));
    BOOST_CHECK(std::ranges::all_of(stays, [](float value) { return std::isfinite(value); }));
  }
}

BOOST_AUTO_TEST_CASE(step_llm_whose_layers_are_fetched_gives_the_bits_of_one_whose_layers_stay) {
  StepLlmConfig config{
      .heads = {.count = 4, .dim = 16}, .groups = 2, .layers = 3, .feed_forward = 96, .vocabulary = 50};
  const auto expected = expected_tensors(config);
  const auto states = [&](bool streams) {
    std::unique_ptr<LlmStore<bf16, Host>> layers;
    using Slabs = LlmSlabs<bf16, Host>;
    if (streams)
      layers = std::make_unique<StreamedLayers<Host, Slabs>>(
          host, host, Slabs(config), std::make_unique<NoiseSource<Host>>(host, expected, 3));
    const StepLlm<bf16, Host> llm(host, config, NoiseSource<Host>(host, expected, 3), {}, std::move(layers));
    Buffer<std::int32_t> ids(2 * 9);
    std::iota(ids.begin(), ids.end(), 7);
    auto out = testing::poisoned<float>(2 * 9 * 64);
    llm.encode(ids.matrix(2, 9), TokensView<float>::dense(out.data(), 2, 9, 64));
    return out;
  };
  const auto stays = states(false), comes = states(true);
  BOOST_CHECK(std::equal(stays.begin(), stays.end(), comes.begin(), comes.end()));
  BOOST_CHECK(std::ranges::all_of(stays, [](float value) { return std::isfinite(value); }));
}
