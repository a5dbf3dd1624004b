#define BOOST_TEST_MODULE transformer
#include "model/transformer.hpp"

#include <numeric>
#include <set>
#include <tuple>

#include <omp.h>

#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using model::Transformer;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double golden_bound = std::same_as<T, float> ? testing::fp32_bound : testing::bf16_bound;

const std::filesystem::path folder = STEPVIDEO_TEST_DATA "/golden/dit_tiny";

/// A golden forward pass: two prompts of different length.
struct Golden {
  io::Checkpoint file = io::Checkpoint::open(folder / "io.safetensors");
  Buffer<float> latents = file.load<float>("hidden_states"), times = file.load<float>("timestep");
  Buffer<float> llm = file.load<float>("encoder_hidden_states"),
                clip = file.load<float>("encoder_hidden_states_2");
  std::vector<index_t> key_lengths;
  static constexpr LatentShape shape{3, 4, 6};

  Golden() {
    const auto mask = file.load<float>("encoder_attention_mask");
    for (index_t b = 0; b < 2; ++b)
      key_lengths.push_back(
          static_cast<index_t>(std::accumulate(mask.data() + b * 15, mask.data() + b * 15 + 15, 0.0f)));
  }
  /// `batch` elements from element `first` on.
  LatentsView<const float> video(index_t first = 0, index_t batch = 2) const {
    return {latents.data() + first * 4 * shape.tokens(), batch, 4, shape};
  }
  TokensView<const float> llm_states(index_t first = 0, index_t batch = 2) const {
    return TokensView<const float>::dense(llm.data() + first * 10 * 96, batch, 10, 96);
  }
  TokensView<const float> clip_states(index_t first = 0, index_t batch = 2) const {
    return TokensView<const float>::dense(clip.data() + first * 5 * 64, batch, 5, 64);
  }
};

template <class T>
Transformer<T, Host> tiny() {
  return {host, model::read_transformer_config(folder / "config.json"),
          io::Checkpoint::open(folder / "diffusion_pytorch_model.safetensors")};
}

/// The velocity of some elements of the golden batch.
template <class T>
Buffer<float> velocity(Transformer<T, Host>& transformer, const Golden& golden,
                       const model::PreparedText<T, Host>& text, index_t first = 0, index_t batch = 2) {
  auto out = testing::poisoned<float>(batch * 4 * Golden::shape.tokens());
  transformer.forward(golden.video(first, batch), {golden.times.data() + first, batch}, text,
                      {out.data(), batch, 4, Golden::shape});
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_expected_tensors_are_those_of_the_release) {
  BOOST_CHECK_EQUAL(io::tensor_list_hash(expected_tensors(model::TransformerConfig{})),
                    "5c0216a2132b082c10cb7a0e0377e681");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(every_intermediate_result_equals_that_of_the_release, T, Elements) {
  const Golden golden;
  auto transformer = tiny<T>();
  std::set<std::string> missing;
  for (const auto& [name, record] : golden.file.tensors())
    if (name.starts_with("trace.")) missing.insert(name);
  BOOST_REQUIRE_EQUAL(missing.size(), 15u);
  transformer.observe([&](std::string_view name, const model::ObservedView& view) {
    const auto golden_name = "trace." + std::string(name);
    if (missing.erase(golden_name) == 0) return;
    std::vector<float> actual;
    std::visit(
        [&](const auto& v) {
          for (index_t b = 0; b < v.batch; ++b)
            for (index_t t = 0; t < v.tokens; ++t)
              for (index_t h = 0; h < v.heads; ++h)
                actual.insert(actual.end(), v.row(b, t, h), v.row(b, t, h) + v.dim);
        },
        view);
    const double error = testing::relative_error(actual, golden.file.template load<float>(golden_name));
    BOOST_CHECK_MESSAGE(error <= golden_bound<T>, name << " differs by " << error);
  });
  const auto text = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
  const auto out = velocity<T>(transformer, golden, text);
  STEPVIDEO_CHECK_CLOSE(out, golden.file.template load<float>("output"), golden_bound<T>);
  for (const auto& name : missing) BOOST_ERROR(name << " was not observed");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(an_element_does_not_depend_on_the_rest_of_its_batch, T, Elements) {
  const Golden golden;
  auto transformer = tiny<T>();
  for (const index_t element : {0, 1}) {
    const auto text =
        transformer.prepare_text(golden.llm_states(element, 1), golden.clip_states(element, 1),
                                 std::span(golden.key_lengths).subspan(static_cast<std::size_t>(element), 1));
    const auto out = velocity<T>(transformer, golden, text, element, 1);
    const auto both = golden.file.template load<float>("output");
    const index_t size = both.size() / 2;
    const std::vector<float> expected(both.data() + element * size, both.data() + (element + 1) * size);
    STEPVIDEO_CHECK_CLOSE(out, expected, golden_bound<T>);
  }
}

BOOST_AUTO_TEST_CASE(the_shape_may_change_from_call_to_call) {
  const Golden golden;
  auto transformer = tiny<float>();
  const auto text = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
  const auto before = velocity<float>(transformer, golden, text);
  std::mt19937 engine(3);
  for (const LatentShape shape : {LatentShape{1, 2, 2}, LatentShape{6, 5, 7}}) {
    const auto latents = testing::random_normal<float>(2 * 4 * shape.tokens(), engine);
    const auto out = testing::poisoned<float>(latents.size());
    transformer.forward({latents.data(), 2, 4, shape}, golden.times.vector(), text,
                        {out.data(), 2, 4, shape});
    for (const float value : out) BOOST_REQUIRE(std::isfinite(value));
  }
  const auto after = velocity<float>(transformer, golden, text);
  BOOST_CHECK(std::equal(before.begin(), before.end(), after.begin(), after.end()));
}

BOOST_AUTO_TEST_CASE(padded_text_is_not_read) {
  const Golden golden;
  auto transformer = tiny<float>();
  const auto text = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
  const auto before = velocity<float>(transformer, golden, text);
  BOOST_REQUIRE_NE(golden.key_lengths[0], golden.key_lengths[1]);
  index_t changed = 0;
  for (index_t element = 0; element < 2; ++element)
    for (index_t token = golden.key_lengths[static_cast<std::size_t>(element)] - 5; token < 10;
         ++token, ++changed)
      std::fill_n(golden.llm.data() + (element * 10 + token) * 96, 96, 1e3f);
  BOOST_REQUIRE_GT(changed, 0);
  const auto padded = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
  const auto after = velocity<float>(transformer, golden, padded);
  BOOST_CHECK(std::equal(before.begin(), before.end(), after.begin(), after.end()));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_number_of_threads_gives_the_same_bits, T, Elements) {
  const Golden golden;
  auto transformer = tiny<T>();
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    const auto text = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
    return velocity<T>(transformer, golden, text);
  };
  const auto one = run(1), three = run(3);
  BOOST_CHECK(std::equal(one.begin(), one.end(), three.begin(), three.end()));
}

BOOST_AUTO_TEST_CASE(inputs_that_disagree_are_refused) {
  const Golden golden;
  auto transformer = tiny<float>();
  const auto text = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
  const Buffer<float> out(golden.latents.size());
  const LatentsView<float> result{out.data(), 2, 4, Golden::shape};
  using testing::check_refused;
  check_refused(
      [&] {
        transformer.forward(golden.video(0, 1), {golden.times.data(), 1}, text,
                            {out.data(), 1, 4, Golden::shape});
      },
      {"latents have batch 1", "2 prompts"});
  check_refused(
      [&] {
        transformer.forward({golden.latents.data(), 2, 2, {6, 4, 6}}, golden.times.vector(), text, result);
      },
      {"latents have 2 channels"});
  check_refused(
      [&] { transformer.prepare_text(golden.llm_states(0, 1), golden.clip_states(), golden.key_lengths); },
      {"LLM's states have batch 1, CLIP's 2"});
  check_refused(
      [&] { transformer.prepare_text(golden.clip_states(), golden.llm_states(), golden.key_lengths); },
      {"LLM's states have 64 channels and CLIP's 96", "needs 96 and 64"});
  check_refused(
      [&] {
        transformer.prepare_text(golden.llm_states(), golden.clip_states(), std::vector<index_t>{16, 3});
      },
      {"a prompt has 16 keys; 1 to 15 work"});
}

BOOST_AUTO_TEST_CASE(a_config_that_cannot_be_is_refused_by_field) {
  const testing::ScratchFolder scratch;
  const auto refused = [&](const std::string& json, const std::vector<std::string>& phrases) {
    const auto path = scratch.write("config.json", json);
    testing::check_refused([&] { model::read_transformer_config(path); }, phrases);
  };
  const std::string rest = R"("num_layers": 2, "in_channels": 4, "out_channels": 4, )";
  refused("{" + rest + R"("num_attention_heads": 2})", {"config.json", "attention_head_dim"});
  refused("{" + rest + R"("num_attention_heads": 0, "attention_head_dim": 64})",
          {"num_attention_heads", "is 0"});
  refused("{" + rest + R"("num_attention_heads": 2, "attention_head_dim": 60, "caption_channels": [8, 8]})",
          {"attention_head_dim", "multiple of 8"});
  refused("{" + rest + R"("num_attention_heads": 2, "attention_head_dim": 64, "caption_channels": [8]})",
          {"caption_channels", "has 1 entries"});
  refused(
      "{" + rest +
          R"("num_attention_heads": 2, "attention_head_dim": 64, "caption_channels": [8, 8], "patch_size": 2})",
      {"patch_size"});
}
