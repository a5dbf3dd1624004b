#define BOOST_TEST_MODULE transformer
#include "model/transformer.hpp"

#include <cstring>
#include <numeric>
#include <set>
#include <tuple>

#include <omp.h>

#include "oracle/transformer.hpp"
#include "reference/block_cases.hpp"
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

io::Checkpoint weights() {
  return io::Checkpoint::open(folder / "diffusion_pytorch_model.safetensors");
}
model::TransformerConfig config() {
  return model::read_transformer_config(folder / "config.json");
}

template <class T>
Transformer<T, Host> tiny() {
  return {host, config(), weights()};
}

template <class T>
model::PreparedText<T, Host> prepare(Transformer<T, Host>& transformer, const Golden& golden,
                                     std::size_t spare_bytes = model::any_number_of_bytes) {
  return transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths, spare_bytes);
}

/// The velocity of some elements of the golden batch.
template <class T, class Tap>
Buffer<float> velocity(Transformer<T, Host, Tap>& transformer, const Golden& golden,
                       model::PreparedText<T, Host>& text, index_t first = 0, index_t batch = 2) {
  auto out = testing::poisoned<float>(batch * 4 * Golden::shape.tokens());
  transformer.forward(golden.video(first, batch), {golden.times.data() + first, batch}, text,
                      {out.data(), batch, 4, Golden::shape});
  return out;
}

/// The velocity of other latents with the golden's times and text.
template <class T>
Buffer<float> velocity(Transformer<T, Host>& transformer, const Golden& golden,
                       model::PreparedText<T, Host>& text, const Buffer<float>& latents, LatentShape shape) {
  auto out = testing::poisoned<float>(latents.size());
  transformer.forward({latents.data(), 2, 4, shape}, golden.times.vector(), text, {out.data(), 2, 4, shape});
  return out;
}

bool same_bits(const Buffer<float>& a, const Buffer<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<double> doubles(const float* values, index_t count) {
  return {values, values + count};
}

oracle::Transformer in_double(const io::Checkpoint& checkpoint) {
  const HeadShape heads = config().heads;
  return {heads.count, heads.dim, config().layers, [&checkpoint](const std::string& name) {
            if (!checkpoint.contains(name)) return std::vector<double>{};
            const auto values = checkpoint.load<float>(name);
            return doubles(values.data(), values.size());
          }};
}

/// Compares with the traces of the release. What no kernel stores, a norm before its modulation, is made
/// again of what it is made of.
template <class T>
struct TraceTap {
  const Golden* golden;
  const io::Checkpoint* checkpoint;
  std::set<std::string>* missing;

  template <class V>
  void operator()(const std::string& module, TokensView<V> view) const {
    check(module, view);
    if (module == "pos_embed") check_norm("transformer_blocks.0.norm1", view);
  }
  template <class V>
  void operator()(const char* blocks, int block, const std::string& part, TokensView<V> view) const {
    const std::string name = blocks + std::to_string(block);
    if (part == ".attn1.wqkv") {
      if constexpr (std::same_as<V, T>) {
        check_heads(name + ".attn1.q_norm", view, 0);
        check_heads(name + ".attn1.k_norm", view, 1);
      }
    } else if (part == ".attn2.residual") {
      check_norm(name + ".norm2", view);
    } else {
      check(name + part, view);
      if (part.empty() && block == 1) check_norm("norm_out", view);
    }
  }

 private:
  template <class V>
  void check(const std::string& name, TokensView<V> view) const {
    if (missing->erase("trace." + name) == 0) return;
    std::vector<float> actual;
    for (index_t b = 0; b < view.batch; ++b)
      for (index_t t = 0; t < view.tokens; ++t)
        actual.insert(actual.end(), view.row(b, t), view.row(b, t) + view.width);
    const double error = testing::relative_error(actual, golden->file.template load<float>("trace." + name));
    BOOST_TEST_MESSAGE(element_name<T> << " " << name << " differs by " << error);
    BOOST_CHECK_MESSAGE(error <= golden_bound<T>, name << " differs by " << error);
  }
  template <class V>
  void check_norm(const std::string& name, TokensView<V> stream) const {
    if (!missing->contains("trace." + name)) return;
    const Buffer<T> out(stream.batch * stream.tokens * stream.width);
    Buffer<T> weight, bias;
    const bool has_affine = checkpoint->contains(name + ".weight");
    if (has_affine)
      weight = checkpoint->load<T>(name + ".weight"), bias = checkpoint->load<T>(name + ".bias");
    const auto normed = TokensView<T>::dense(out.data(), stream.batch, stream.tokens, stream.width);
    layer_norm(host, stream, {.weight = weight.vector(), .bias = bias.vector()}, has_affine ? 1e-5f : 1e-6f,
               normed);
    check(name, normed);
  }
  void check_heads(const std::string& name, TokensView<T> packed, int part) const {
    if (!missing->contains("trace." + name)) return;
    const auto heads = model::packed_heads(packed, config().heads, 3, part);
    const auto weight = checkpoint->load<T>(name + ".weight");
    const Buffer<T> out(heads.batch * heads.tokens * heads.heads * heads.dim);
    rms_norm(host, heads, weight.vector(), 1e-6f,
             HeadsView<T>::dense(out.data(), heads.batch, heads.tokens, heads.heads, heads.dim));
    check(name, TokensView<T>::dense(out.data(), heads.batch, heads.tokens, heads.heads * heads.dim));
  }
};

/// Keeps what stands before the feed forward of block 0 and what comes out of it.
struct FeedForwardTap {
  std::vector<float>*stream, *result, *adaln;

  template <class V>
  void operator()(const std::string& module, TokensView<V> view) const {
    if (module == "adaln_single") keep(view, *adaln);
  }
  template <class V>
  void operator()(const char*, int block, const std::string& part, TokensView<V> view) const {
    if (block == 0 && part == ".attn2.residual") keep(view, *stream);
    if (block == 0 && part == ".ff") keep(view, *result);
  }
  template <class V>
  static void keep(TokensView<V> view, std::vector<float>& values) {
    values.assign(view.data, view.data + view.batch * view.tokens * view.width);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_expected_tensors_are_those_of_the_release) {
  BOOST_CHECK_EQUAL(io::tensor_list_hash(expected_tensors(model::TransformerConfig{})),
                    "5c0216a2132b082c10cb7a0e0377e681");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(every_intermediate_result_equals_that_of_the_release, T, Elements) {
  const Golden golden;
  const io::Checkpoint checkpoint = weights();
  std::set<std::string> missing;
  for (const auto& [name, record] : golden.file.tensors())
    if (name.starts_with("trace.")) missing.insert(name);
  BOOST_REQUIRE_EQUAL(missing.size(), 15u);
  Transformer<T, Host, TraceTap<T>> transformer(host, config(), checkpoint, {},
                                                {&golden, &checkpoint, &missing});
  auto text = transformer.prepare_text(golden.llm_states(), golden.clip_states(), golden.key_lengths);
  const auto out = velocity<T>(transformer, golden, text);
  BOOST_TEST_MESSAGE(
      element_name<T> << " output differs by "
                      << testing::relative_error(out, golden.file.template load<float>("output")));
  STEPVIDEO_CHECK_CLOSE(out, golden.file.template load<float>("output"), golden_bound<T>);
  for (const auto& name : missing) BOOST_ERROR(name << " was not seen");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(an_element_of_a_batch_gets_the_bits_that_it_gets_alone, T, Elements) {
  const Golden golden;
  auto transformer = tiny<T>();
  auto pair = prepare(transformer, golden);
  const auto both = velocity<T>(transformer, golden, pair);
  const index_t size = both.size() / 2;
  for (const index_t element : {0, 1}) {
    auto text =
        transformer.prepare_text(golden.llm_states(element, 1), golden.clip_states(element, 1),
                                 std::span(golden.key_lengths).subspan(static_cast<std::size_t>(element), 1));
    const auto alone = velocity<T>(transformer, golden, text, element, 1);
    BOOST_CHECK(std::equal(alone.begin(), alone.end(), both.begin() + element * size));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(text_that_is_made_again_in_every_block_gives_the_bits_of_text_that_stays, T,
                              Elements) {
  const Golden golden;
  auto transformer = tiny<T>();
  const model::TransformerConfig shape = config();
  const std::size_t kept = static_cast<std::size_t>(shape.layers * 2 * 15 * 2 * shape.width()) * sizeof(T);
  auto stays = prepare(transformer, golden, kept), again = prepare(transformer, golden, kept - 1);
  BOOST_CHECK(stays.keeps_blocks() && !again.keeps_blocks());
  const auto first = velocity<T>(transformer, golden, stays);
  STEPVIDEO_CHECK_CLOSE(first, golden.file.template load<float>("output"), golden_bound<T>);
  BOOST_CHECK(same_bits(first, velocity<T>(transformer, golden, stays)));
  BOOST_CHECK(same_bits(first, velocity<T>(transformer, golden, again)));
  BOOST_CHECK(same_bits(first, velocity<T>(transformer, golden, again)));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_video_of_any_shape_equals_the_equations_and_a_fresh_model_to_the_bit, T,
                              Elements) {
  const Golden golden;
  const io::Checkpoint checkpoint = weights();
  const oracle::Transformer exact = in_double(checkpoint);
  auto used = tiny<T>();
  auto text = prepare(used, golden);
  const auto before = velocity<T>(used, golden, text);
  std::mt19937 engine(3);
  for (const LatentShape shape : {LatentShape{1, 2, 2}, LatentShape{6, 5, 7}, LatentShape{2, 9, 3}}) {
    const auto latents = testing::random_normal<float>(2 * 4 * shape.tokens(), engine);
    const auto out = velocity(used, golden, text, latents, shape);
    auto fresh = tiny<T>();
    auto fresh_text = prepare(fresh, golden);
    BOOST_CHECK(same_bits(out, velocity(fresh, golden, fresh_text, latents, shape)));
    std::vector<double> expected;
    for (index_t element = 0; element < 2; ++element) {
      const index_t size = latents.size() / 2;
      const auto one =
          exact.forward(doubles(latents.data() + element * size, size), shape, golden.times[element],
                        doubles(golden.llm.data() + element * 10 * 96, 10 * 96), 10,
                        doubles(golden.clip.data() + element * 5 * 64, 5 * 64), 5,
                        golden.key_lengths[static_cast<std::size_t>(element)]);
      expected.insert(expected.end(), one.begin(), one.end());
    }
    STEPVIDEO_CHECK_CLOSE(out, expected, golden_bound<T>);
  }
  BOOST_CHECK(same_bits(before, velocity<T>(used, golden, text)));
}

BOOST_AUTO_TEST_CASE(every_element_of_a_block_in_bf16_is_as_near_to_its_equations_as_a_naive_run) {
  const LatentShape shape{3, 7, 9};
  std::vector<index_t> rows(static_cast<std::size_t>(shape.tokens()));
  std::iota(rows.begin(), rows.end(), index_t{0});
  testing::a_block_is_as_near_to_its_equations_as_a_naive_run(host, HeadShape{.count = 3, .dim = 64}, shape,
                                                              rows);
}

BOOST_AUTO_TEST_CASE(every_element_of_a_block_in_fp8_is_near_its_equations) {
  const LatentShape shape{3, 7, 9};
  std::vector<index_t> rows(static_cast<std::size_t>(shape.tokens()));
  std::iota(rows.begin(), rows.end(), index_t{0});
  testing::a_block_in_fp8_stays_near_its_equations(host, HeadShape{.count = 3, .dim = 64}, shape, rows,
                                                   {{true, false}, {false, true}, {true, true}});
}

/// Two blocks of the release's, all in fp8, beside the release's own result.
BOOST_AUTO_TEST_CASE(a_golden_pass_in_fp8_is_within_its_bound) {
  constexpr double fp8_golden_bound = 5e-2;
  const Golden golden;
  for (const auto& [products, attention] : {std::pair{true, false}, {false, true}, {true, true}}) {
    Transformer<bf16, Host> transformer(host, config(), weights(),
                                        {.quantization = model::Quantization::of(2, products, attention)});
    auto text = prepare(transformer, golden);
    const auto out = velocity<bf16>(transformer, golden, text);
    const auto wanted = golden.file.load<float>("output");
    BOOST_TEST_MESSAGE("fp8 " << (products ? "products " : "") << (attention ? "attention " : "")
                              << "differs by " << testing::relative_error(out, wanted));
    STEPVIDEO_CHECK_CLOSE(out, wanted, fp8_golden_bound);
    BOOST_CHECK_GT(testing::relative_error(out, wanted), 3.2e-3);  // of bf16
  }
}

BOOST_AUTO_TEST_CASE(blocks_that_stay_in_bf16_are_those_that_were_asked_for) {
  const Golden golden;
  const auto pass = [&](model::Quantization quantization, bool attends_in_fp8 = true) {
    Transformer<bf16, Host> transformer(host, config(), weights(), {.quantization = quantization});
    auto text = prepare(transformer, golden);
    auto out = testing::poisoned<float>(2 * 4 * Golden::shape.tokens());
    transformer.forward(golden.video(), golden.times.vector(), text, {out.data(), 2, 4, Golden::shape},
                        {.attends_in_fp8 = attends_in_fp8});
    return out;
  };
  const auto plain = pass({});
  BOOST_CHECK(same_bits(plain, pass({.products = {false, false}, .attention = {false}})));
  BOOST_CHECK(same_bits(plain, pass({.attention = {true, true}}, false)));
  const auto first = pass({.products = {true, false}}), second = pass({.products = {false, true}}),
             both = pass({.products = {true, true}});
  BOOST_CHECK(!same_bits(plain, first) && !same_bits(plain, second) && !same_bits(first, second));
  const auto wanted = golden.file.load<float>("output");
  BOOST_CHECK_LT(testing::relative_error(first, wanted), testing::relative_error(both, wanted));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(elements_that_take_turns_in_a_block_get_the_bits_of_a_batch, T, Elements) {
  const Golden golden;
  for (const bool is_fp8 : {false, true}) {
    if (is_fp8 && !model::has_fp8<T>) continue;
    Transformer<T, Host> transformer(
        host, config(), weights(),
        {.quantization = is_fp8 ? model::Quantization::of(2, true, true) : model::Quantization{}});
    auto text = prepare(transformer, golden);
    const auto together = velocity<T>(transformer, golden, text);
    auto in_turns = testing::poisoned<float>(together.size());
    transformer.forward(golden.video(), golden.times.vector(), text, {in_turns.data(), 2, 4, Golden::shape},
                        {.together = 1});
    BOOST_CHECK(same_bits(together, in_turns));
  }
}

BOOST_AUTO_TEST_CASE(fp8_is_refused_by_a_transformer_of_float32) {
  BOOST_CHECK_EXCEPTION((Transformer<float, Host>(host, config(), weights(),
                                                  {.quantization = model::Quantization::of(2, true, false)})),
                        RequestError, [](const RequestError& error) {
                          return std::string(error.what()) ==
                                 "fp8 is for a transformer of bf16, and this one is of fp32";
                        });
}

BOOST_AUTO_TEST_CASE(a_feed_forward_in_parts_equals_the_equations_in_every_part) {
  const Golden golden;
  const io::Checkpoint checkpoint = weights();
  std::vector<float> stream, result, adaln;
  auto small = config();
  Transformer<float, Host, FeedForwardTap> transformer(host, small, checkpoint, {},
                                                       {&stream, &result, &adaln});
  constexpr LatentShape shape{3, 37, 41};  // 4551 tokens
  const index_t tokens = shape.tokens(), width = small.width();
  std::mt19937 engine(5);
  const auto latents = testing::random_normal<float>(4 * tokens, engine);
  auto out = testing::poisoned<float>(latents.size());
  auto text = transformer.prepare_text(golden.llm_states(0, 1), golden.clip_states(0, 1),
                                       std::span(golden.key_lengths).first(1));
  transformer.forward({latents.data(), 1, 4, shape}, {golden.times.data(), 1}, text,
                      {out.data(), 1, 4, shape});
  for (const float value : out) BOOST_REQUIRE(std::isfinite(value));

  const oracle::Transformer exact = in_double(checkpoint);
  const std::string block = "transformer_blocks.0.";
  const auto table = exact.tensor(block + "scale_shift_table"), weight = exact.tensor(block + "norm2.weight"),
             bias = exact.tensor(block + "norm2.bias");
  for (const index_t token : {index_t{0}, index_t{2275}, index_t{2303}, index_t{2304}, tokens - 1}) {
    auto row = oracle::layer_norm<float>(
                   TokensView<const float>::dense(stream.data() + token * width, 1, 1, width), 1e-5)
                   .values;
    for (index_t c = 0; c < width; ++c)
      row[c] = (row[c] * weight[c] + bias[c]) * (1 + table[4 * width + c] + adaln[4 * width + c]) +
               table[3 * width + c] + adaln[3 * width + c];
    const std::vector<float> actual(result.begin() + token * width, result.begin() + (token + 1) * width);
    STEPVIDEO_CHECK_CLOSE(actual, exact.feed_forward(block, row), testing::fp32_bound);
  }
}

BOOST_AUTO_TEST_CASE(padded_text_is_not_read) {
  const Golden golden;
  auto transformer = tiny<float>();
  auto text = prepare(transformer, golden);
  const auto before = velocity<float>(transformer, golden, text);
  BOOST_REQUIRE_NE(golden.key_lengths[0], golden.key_lengths[1]);
  index_t changed = 0;
  for (index_t element = 0; element < 2; ++element)
    for (index_t token = golden.key_lengths[static_cast<std::size_t>(element)] - 5; token < 10;
         ++token, ++changed)
      std::fill_n(golden.llm.data() + (element * 10 + token) * 96, 96, 1e3f);
  BOOST_REQUIRE_GT(changed, 0);
  auto padded = prepare(transformer, golden);
  const auto after = velocity<float>(transformer, golden, padded);
  BOOST_CHECK(std::equal(before.begin(), before.end(), after.begin(), after.end()));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(any_number_of_threads_gives_the_same_bits, T, Elements) {
  const Golden golden;
  auto transformer = tiny<T>();
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    auto text = prepare(transformer, golden);
    return velocity<T>(transformer, golden, text);
  };
  const auto one = run(1), three = run(3);
  BOOST_CHECK(std::equal(one.begin(), one.end(), three.begin(), three.end()));
}

BOOST_AUTO_TEST_CASE(inputs_that_disagree_are_refused) {
  const Golden golden;
  auto transformer = tiny<float>();
  auto text = prepare(transformer, golden);
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
