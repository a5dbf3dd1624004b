#define BOOST_TEST_MODULE qk_norm_rope
#include <string>

#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "kernels/rope/qk_norm_rope_cases.hpp"

using namespace stepvideo;

namespace {

const auto on_host = [](auto& c) {
  const auto table = make_rope_table<float>(host, c.shape, c.split);
  auto part = table.view();
  part.first_token = c.first_token;
  qk_norm_rope(host, c.packed, c.norm(), part, c.out);
};
const auto quantized_on_host = [](auto& c, auto& queries, auto& keys, HeadRotation rotation) {
  const auto table = make_rope_table<float>(host, c.shape, c.split);
  auto part = table.view();
  part.first_token = c.first_token;
  qk_norm_rope(host, c.packed, c.norm(), part, QuantizedQkOutput{queries.view, keys.view, rotation});
};

template <class T>
void check_equals_the_single_kernels() {
  std::mt19937 engine(64);
  for (const auto layout : {testing::QkLayout::head_major, testing::QkLayout::in_place}) {
    auto c = testing::random_qk_case<T>(engine, 128, layout, false, 77, 3);
    const auto before = testing::clone(c.storage);
    HeadsView<T> parts[] = {rope_detail::packed_part(c.packed, 0), rope_detail::packed_part(c.packed, 1)};
    for (auto& part : parts) part.data = before.data() + (part.data - c.storage.data());
    const auto table = make_rope_table<T>(host, c.shape, c.split);
    auto turns = table.view();
    turns.first_token = c.first_token;
    rms_norm(host, parts[0], c.query_weight.vector(), 1e-6f, parts[0]);
    rms_norm(host, parts[1], c.key_weight.vector(), 1e-6f, parts[1]);
    for (const auto& part : parts) rope3d(host, part, turns);
    on_host(c);
    BOOST_CHECK(testing::gathered(c.out.queries) == testing::gathered(parts[0]));
    BOOST_CHECK(testing::gathered(c.out.keys) == testing::gathered(parts[1]));
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(float_agrees_with_the_oracle) {
  testing::qk_norm_rope_agrees_with_its_oracle<float>(on_host, 2e-6, 40);
}
BOOST_AUTO_TEST_CASE(bf16_agrees_with_the_oracle) {
  testing::qk_norm_rope_agrees_with_its_oracle<bf16>(on_host, 6e-3, 40);
}
BOOST_AUTO_TEST_CASE(results_have_the_bits_of_the_norm_and_the_rotation_one_after_the_other) {
  check_equals_the_single_kernels<float>();
  check_equals_the_single_kernels<bf16>();
}
BOOST_AUTO_TEST_CASE(quantized_float_agrees_with_the_oracle) {
  testing::quantized_qk_agrees_with_its_oracle<float>(quantized_on_host, 1e-6, 24);
}
BOOST_AUTO_TEST_CASE(quantized_bf16_agrees_with_the_oracle) {
  testing::quantized_qk_agrees_with_its_oracle<bf16>(quantized_on_host, 1e-2, 24);
}
BOOST_AUTO_TEST_CASE(blocks_of_zeros) {
  testing::a_block_of_zeros_has_the_least_scale(quantized_on_host);
}

BOOST_AUTO_TEST_CASE(shapes_that_disagree_are_named) {
  const Buffer<float> values(8 * 3 * 48), weight(48);
  const Buffer<fp8_e4m3> bytes(8 * 48);
  const auto table = make_rope_table<float>(host, {2, 2, 2}, RopeSplit{24, 12, 12});
  const auto packed = HeadsView<float>::dense(values.data(), 1, 8, 1, 3 * 48);
  const auto head = HeadsView<float>::dense(values.data(), 1, 8, 1, 48);
  const QkNorm<float> norm{weight.vector(), weight.vector()};
  const auto says = [](const char* text) {
    return [text](const RequestError& error) {
      return std::string(error.what()).find(text) != std::string::npos;
    };
  };
  BOOST_CHECK_EXCEPTION(qk_norm_rope(host, head, norm, table.view(), QkvOutput<float>{head, head}),
                        RequestError, says("a packed head has 48 channels and the table turns 48"));
  BOOST_CHECK_EXCEPTION(qk_norm_rope(host, packed, QkNorm<float>{{weight.data(), 47}, weight.vector()},
                                     table.view(), QkvOutput<float>{head, head}),
                        RequestError, says("weight has 47 elements"));
  BOOST_CHECK_EXCEPTION(qk_norm_rope(host, packed, norm, table.view(), QkvOutput<float>{head, packed}),
                        RequestError, says("keys are (1, 8, 1, 144); packed needs (1, 8, 1, 48)"));
  const auto quantized = QuantizedHeads<fp8_e4m3>::head_major(bytes.data(), values.data(), 1, 8, 1, 48);
  auto unscaled = quantized;
  unscaled.scales.tokens = 2;
  BOOST_CHECK_EXCEPTION(
      qk_norm_rope(host, packed, norm, table.view(), QuantizedQkOutput{quantized, unscaled}), RequestError,
      says("keys are (1, 8, 1, 48) and their scales (1, 2, 1, 1)"));
  BOOST_CHECK_EXCEPTION(qk_norm_rope(host, packed, norm, table.view(),
                                     QuantizedQkOutput{quantized, quantized, HeadRotation::hadamard}),
                        RequestError, says("heads of 48 channels have no Hadamard rotation"));
}
