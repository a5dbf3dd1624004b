#define BOOST_TEST_MODULE clip_text
#include "model/clip_text.hpp"

#include <numeric>
#include <tuple>

#include "io/json.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using model::ClipText;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double golden_bound = std::same_as<T, float> ? testing::fp32_bound : testing::bf16_bound;

const std::filesystem::path folder = STEPVIDEO_TEST_DATA "/golden/clip_tiny";

template <class T>
ClipText<T, Host> tiny() {
  return {host, model::read_clip_text_config(folder / "config.json"),
          io::Checkpoint::open(folder / "model.safetensors")};
}

struct Golden {
  io::Checkpoint file = io::Checkpoint::open(folder / "io.safetensors");
  Buffer<std::int32_t> ids = file.load_integers("input_ids");
  std::vector<index_t> lengths;

  Golden() {
    const auto mask = file.load_integers("attention_mask");
    for (index_t row = 0; row < 2; ++row)
      lengths.push_back(std::accumulate(mask.data() + row * 12, mask.data() + row * 12 + 12, index_t{0}));
  }
};

template <class T>
Buffer<float> encode(const ClipText<T, Host>& clip, const Buffer<std::int32_t>& ids,
                     const std::vector<index_t>& lengths) {
  const index_t batch = 2, tokens = ids.size() / batch, width = clip.config().width();
  auto out = testing::poisoned<float>(ids.size() * width);
  clip.encode(ids.matrix(batch, tokens), lengths, TokensView<float>::dense(out.data(), batch, tokens, width));
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(states_equal_those_of_the_release_padding_included, T, Elements) {
  const Golden golden;
  BOOST_REQUIRE_NE(golden.lengths[0], golden.lengths[1]);
  const auto out = encode(tiny<T>(), golden.ids, golden.lengths);
  STEPVIDEO_CHECK_CLOSE(out, golden.file.template load<float>("output"), golden_bound<T>);
}

BOOST_AUTO_TEST_CASE(padding_is_not_attended_to) {
  Golden golden;
  const auto clip = tiny<float>();
  const auto before = encode(clip, golden.ids, golden.lengths);
  const index_t width = clip.config().width();
  for (index_t row = 0; row < 2; ++row)
    for (index_t token = golden.lengths[static_cast<std::size_t>(row)]; token < 12; ++token)
      golden.ids[row * 12 + token] = (golden.ids[row * 12 + token] + 7) % 120;
  const auto after = encode(clip, golden.ids, golden.lengths);
  for (index_t row = 0; row < 2; ++row)
    BOOST_CHECK(
        std::equal(before.begin() + row * 12 * width,
                   before.begin() + (row * 12 + golden.lengths[static_cast<std::size_t>(row)]) * width,
                   after.begin() + row * 12 * width));
  BOOST_CHECK(!std::equal(before.begin(), before.end(), after.begin()));
}

BOOST_AUTO_TEST_CASE(requests_that_cannot_be_served_are_refused) {
  const Golden golden;
  const auto clip = tiny<float>();
  testing::check_refused([&] { encode(clip, golden.ids, {12}); }, {"1 lengths for 2 rows"});
  testing::check_refused(
      [&] {
        encode(clip, golden.ids, {12, 13});
      },
      {"12 token ids cannot have 13 real tokens"});
  testing::check_refused([&] { encode(clip, golden.ids, {0, 12}); }, {"0 real tokens"});
  const Buffer<std::int32_t> many(2 * 33);
  std::ranges::fill(many, 1);
  testing::check_refused([&] { encode(clip, many, {33, 33}); }, {"32 positions for 33 tokens"});
}

BOOST_AUTO_TEST_CASE(a_config_with_another_activation_is_refused) {
  const testing::ScratchFolder scratch;
  auto json = io::read_json(folder / "config.json");
  json["hidden_act"] = "relu";
  const auto path = scratch.write("config.json", json.dump());
  testing::check_refused([&] { model::read_clip_text_config(path); }, {"config.json", "hidden_act", "relu"});
}

BOOST_AUTO_TEST_CASE(a_config_that_asks_for_what_is_not_here_is_refused_by_field) {
  const testing::ScratchFolder scratch;
  const auto refuses = [&](const auto& read, io::Json json, const std::string& field, const io::Json& value) {
    json[field] = value;
    const auto path = scratch.write("config.json", json.dump());
    testing::check_refused([&] { read(path); }, {"config.json", field});
  };
  const auto config_of = [](const char* component) {
    return io::read_json(std::filesystem::path(STEPVIDEO_DEMO_MODEL) / component / "config.json");
  };
  const io::Json quantized{{"quant_method", "fp8"}}, clip = config_of("hunyuan_clip/clip_text_encoder"),
                                                     llm = config_of("step_llm"),
                                                     transformer = config_of("transformer");
  refuses(model::read_clip_text_config, clip, "position_embedding_type", "relative_key");
  refuses(model::read_clip_text_config, clip, "quantization_config", quantized);
  refuses(model::read_step_llm_config, llm, "quantization_config", quantized);
  refuses(model::read_transformer_config, transformer, "quantization_config", quantized);
  refuses(model::read_transformer_config, transformer, "use_additional_conditions", true);
  refuses(model::read_transformer_config, transformer, "norm_elementwise_affine", true);
  refuses(model::read_transformer_config, transformer, "norm_type", "layer_norm");
  refuses(model::read_transformer_config, transformer, "norm_eps", 1e-5);
}
