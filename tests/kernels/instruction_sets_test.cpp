// Three units of one program, compiled for three instruction sets: each must run its own kernels.
#define BOOST_TEST_MODULE instruction_sets
#include <algorithm>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "kernels/instruction_sets/unit.hpp"
#include "oracle/attention.hpp"
#include "oracle/conv.hpp"
#include "oracle/group_norm.hpp"
#include "oracle/linear.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;

namespace {

/// Those that this CPU can run; the first one every x86-64 can.
std::vector<testing::InstructionSetUnit> units() {
  std::vector<testing::InstructionSetUnit> result{testing::unit_of_x86_64()};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    result.push_back(testing::unit_of_x86_64_v3());
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512cd"))
    result.push_back(testing::unit_of_x86_64_v4());
  return result;
}

constexpr testing::Budget budget{.float_roundings = 32};

}  // namespace

BOOST_AUTO_TEST_CASE(each_unit_has_the_vectors_it_was_compiled_for) {
  int floats = 4;
  for (const auto& unit : units()) {
    BOOST_CHECK_EQUAL(unit.vector_floats, floats);
    floats *= 2;
  }
  BOOST_WARN_MESSAGE(floats > 8, "this CPU runs the first unit only, and nothing was compared");
}

BOOST_AUTO_TEST_CASE(each_units_convolution_agrees_with_the_formula) {
  std::mt19937 engine(51);
  const ConvShape shape{40, 21, 3, 3, 3};
  const auto in = testing::random_normal<float>(3 * 5 * 14 * 21, engine),
             weight = testing::random_normal<float>(shape.elements(), engine),
             bias = testing::random_normal<float>(40, engine);
  const VideoView<const float> view{in.data(), 3, 5, 14, 21};
  const auto expect = [&](const auto& of, const auto& with, const auto& and_bias) {
    return oracle::convolve(oracle::pad(of, {2, 0}, {1, 1}, {1, 1}), with, and_bias, 40, {3, 3, 3},
                            {1, 1, 1});
  };
  const oracle::Video video(view), expected = expect(video, weight, bias);
  const auto summed = expect(oracle::magnitudes(video), oracle::magnitudes(weight), oracle::magnitudes(bias));
  for (const auto& unit : units()) BOOST_TEST_CONTEXT(unit.name) {
      const auto out = testing::poisoned<float>(3 * 5 * 14 * 40);
      unit.convolve(view, weight.vector(), bias.vector(), shape, {out.data(), 3, 5, 14, 40});
      testing::check_each<float>(out, expected.values, summed.values, budget);
    }
}

BOOST_AUTO_TEST_CASE(a_weight_that_another_unit_packed_is_refused) {
  std::mt19937 engine(55);
  const ConvShape shape{40, 21, 3, 3, 3};
  const auto in = testing::random_normal<float>(2 * 3 * 4 * 21, engine),
             weight = testing::random_normal<float>(shape.elements(), engine),
             bias = testing::random_normal<float>(40, engine);
  const Buffer<float> out(2 * 3 * 4 * 40);
  const VideoView<const float> view{in.data(), 2, 3, 4, 21};
  for (const auto& packer : units()) {
    const Buffer<float> packed(packer.packed_elements(shape));
    const auto packed_weight = packer.pack(weight.vector(), shape, packed.vector());
    for (const auto& user : units())
      BOOST_TEST_CONTEXT("packed for " << packer.name << ", read for " << user.name) {
        const auto convolve = [&] {
          user.convolve_packed(view, packed_weight, bias.vector(), {out.data(), 2, 3, 4, 40});
        };
        if (packer.vector_floats == user.vector_floats)
          BOOST_CHECK_NO_THROW(convolve());
        else
          testing::check_refused(
              convolve,
              {"causal_conv3d: the weight is packed in vectors of " + std::to_string(packer.vector_floats),
               "compiled to read vectors of " + std::to_string(user.vector_floats), "the same -m flags"});
      }
  }
}

BOOST_AUTO_TEST_CASE(each_units_attention_agrees_with_the_formula) {
  std::mt19937 engine(52);
  const auto heads = [](const Buffer<float>& values, index_t tokens) {
    return HeadsView<float>::dense(values.data(), 1, tokens, 3, 20);
  };
  const auto queries = testing::random_normal<float>(105 * 60, engine),
             keys = testing::random_normal<float>(131 * 60, engine),
             values = testing::random_normal<float>(131 * 60, engine);
  const auto all = [](auto...) { return true; };
  const auto none = [](auto...) { return 0.0; };
  const auto expect = [&](const Buffer<float>& of) {
    return oracle::attention<float>(heads(queries, 105), heads(keys, 131), heads(of, 131), 0.25, all, none)
        .out;
  };
  auto magnitudes = testing::random_normal<float>(values.size(), engine);
  std::transform(values.begin(), values.end(), magnitudes.begin(), [](float v) { return std::abs(v); });
  const auto expected = expect(values), summed = expect(magnitudes);
  for (const auto& unit : units()) BOOST_TEST_CONTEXT(unit.name) {
      const auto out = testing::poisoned<float>(queries.size());
      unit.attend(heads(queries, 105), heads(keys, 131), heads(values, 131), heads(out, 105));
      testing::check_each<float>(out, expected, summed, budget);
    }
}

BOOST_AUTO_TEST_CASE(each_units_group_norm_agrees_with_the_formula) {
  std::mt19937 engine(53);
  const auto in = testing::random_normal<float>(2 * 3 * 7 * 36, engine),
             weight = testing::random_normal<float>(36, engine),
             bias = testing::random_normal<float>(36, engine);
  const VideoView<const float> view{in.data(), 2, 3, 7, 36};
  auto expected = oracle::group_norm(view, weight, bias, 4, 1e-5).values;
  for (double& value : expected) value = oracle::silu(value);
  for (const auto& unit : units()) BOOST_TEST_CONTEXT(unit.name) {
      const auto out = testing::poisoned<float>(in.size());
      unit.normalise(view, weight.vector(), bias.vector(), 4, {out.data(), 2, 3, 7, 36});
      testing::check_each<float>(out, expected, 8.0, budget);
    }
}

BOOST_AUTO_TEST_CASE(each_units_linear_agrees_with_the_formula) {
  std::mt19937 engine(54);
  const auto in = testing::random_normal<float>(9 * 50, engine),
             weight = testing::random_normal<float>(33 * 50, engine, 0.2f),
             residual = testing::random_normal<float>(9 * 33, engine);
  auto expected = oracle::linear<float>(in.matrix(9, 50), weight.matrix(33, 50));
  for (std::size_t i = 0; i < expected.size(); ++i)
    expected[i] = double(residual.data()[i]) + oracle::gelu_tanh(expected[i]);
  for (const auto& unit : units()) BOOST_TEST_CONTEXT(unit.name) {
      const auto out = testing::poisoned<float>(residual.size());
      std::copy(residual.begin(), residual.end(), out.begin());
      unit.linear(in.matrix(9, 50), weight.matrix(33, 50), out.matrix(9, 33));
      testing::check_each<float>(out, expected, 20.0, budget);
    }
}
