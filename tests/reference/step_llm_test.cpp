#define BOOST_TEST_MODULE step_llm
#include "model/step_llm.hpp"

#include <set>
#include <tuple>

#include <fmt/format.h>

#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using model::StepLlm;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double golden_bound = std::same_as<T, float> ? testing::fp32_bound : testing::bf16_bound;

const std::filesystem::path folder = STEPVIDEO_TEST_DATA "/golden/step_llm_tiny";

template <class T, class Tap = model::NoTap>
StepLlm<T, Host, Tap> tiny(Tap tap = {}) {
  return {host, model::read_step_llm_config(folder / "config.json"),
          io::Checkpoint::open(folder / "model.safetensors"), tap};
}

/// Compares with the traces of the release.
template <class T>
struct TraceTap {
  const io::Checkpoint* golden;
  std::set<std::string>* missing;

  void operator()(const char* layers, int layer, const char*, TokensView<T> view) const {
    const std::string name = "trace." + (layers + std::to_string(layer));
    BOOST_REQUIRE_EQUAL(missing->erase(name), 1u);
    const std::vector<float> actual(view.data, view.data + view.batch * view.tokens * view.width);
    STEPVIDEO_CHECK_CLOSE(actual, golden->load<float>(name), golden_bound<T>);
  }
};

template <class T, class Tap>
Buffer<float> encode(const StepLlm<T, Host, Tap>& llm, const Buffer<std::int32_t>& ids, index_t batch) {
  auto out = testing::poisoned<float>(ids.size() * llm.config().width());
  llm.encode(ids.matrix(batch, ids.size() / batch),
             TokensView<float>::dense(out.data(), batch, ids.size() / batch, llm.config().width()));
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(every_layer_equals_that_of_the_release, T, Elements) {
  const auto golden = io::Checkpoint::open(folder / "io.safetensors");
  std::set<std::string> missing{"trace.transformer.layers.0", "trace.transformer.layers.1"};
  const auto llm = tiny<T>(TraceTap<T>{&golden, &missing});
  const auto out = encode(llm, golden.load_integers("input_ids"), 2);
  STEPVIDEO_CHECK_CLOSE(out, golden.load<float>("output"), golden_bound<T>);
  BOOST_CHECK(missing.empty());
}

BOOST_AUTO_TEST_CASE(a_token_does_not_see_those_after_it) {
  const auto llm = tiny<float>();
  auto ids = io::Checkpoint::open(folder / "io.safetensors").load_integers("input_ids");
  const auto before = encode(llm, ids, 2);
  ids[15] = (ids[15] + 1) % 96;  // the last token of the first row
  const auto after = encode(llm, ids, 2);
  const index_t width = llm.config().width(), last = 15 * width, second_row = 16 * width;
  BOOST_CHECK(std::equal(before.begin(), before.begin() + last, after.begin()));
  BOOST_CHECK(!std::equal(before.begin() + last, before.begin() + second_row, after.begin() + last));
  BOOST_CHECK(std::equal(before.begin() + second_row, before.end(), after.begin() + second_row));
}

BOOST_AUTO_TEST_CASE(an_id_outside_the_vocabulary_is_refused) {
  const auto llm = tiny<float>();
  Buffer<std::int32_t> ids(3);
  ids[0] = 1, ids[1] = 96, ids[2] = 2;
  testing::check_refused([&] { encode(llm, ids, 1); }, {"token id 96", "vocabulary of 96"});
  ids[1] = -1;
  testing::check_refused([&] { encode(llm, ids, 1); }, {"token id -1"});
}

BOOST_AUTO_TEST_CASE(the_release_s_feed_forward_is_rounded_up_and_its_tensors_are_expected) {
  const testing::ScratchFolder scratch;
  const auto config = [&](int feed_forward, int heads, int groups) {
    return model::read_step_llm_config(scratch.write(
        "config.json",
        fmt::format(
            R"({{"hidden_size": 6144, "num_attention_heads": {}, "num_attention_groups": {}, "num_layers": 48,
                        "ffn_hidden_size": {}, "padded_vocab_size": 65536, "layernorm_epsilon": 1e-5}})",
            heads, groups, feed_forward)));
  };
  BOOST_CHECK_EQUAL(config(16896, 48, 8).feed_forward, 16896);
  BOOST_CHECK_EQUAL(config(16641, 48, 8).feed_forward, 16896);
  testing::check_refused([&] { config(16896, 48, 7); }, {"config.json", "num_attention_groups", "7"});
  testing::check_refused([&] { config(16896, 50, 5); }, {"hidden_size", "num_attention_heads"});

  std::int64_t parameters = 0;
  for (const auto& tensor : expected_tensors(config(16896, 48, 8)))
    parameters += io::element_count(tensor.shape);
  BOOST_CHECK_CLOSE(static_cast<double>(parameters), 19.58e9, 0.05);
}
