#define BOOST_TEST_MODULE rope
#include <cstddef>
#include <tuple>

#include "kernels/rope/rope_cases.hpp"
#include "support/golden.hpp"

using namespace stepvideo;

namespace {

using Elements = std::tuple<float, bf16>;

template <class T>
constexpr double golden_bound = std::same_as<T, float> ? testing::fp32_bound : testing::bf16_bound;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(rotation_equals_that_of_the_release, T, Elements) {
  const auto in = testing::golden_tensor("rope3d_3x4x5.safetensors", "x");
  const auto expected = testing::golden_tensor("rope3d_3x4x5.safetensors", "y");
  Buffer<T> values(in.size());
  for (index_t i = 0; i < in.size(); ++i) values[i] = T(in[i]);
  const auto table = make_rope_table<T>(host, {3, 4, 5}, RopeSplit{64, 32, 32});
  rope3d(host, HeadsView<T>::dense(values.data(), 2, 60, 3, 128), table.view());
  STEPVIDEO_CHECK_CLOSE(values, expected, golden_bound<T>);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(every_element_agrees_with_the_oracle, T, Elements) {
  testing::rope_agrees_with_its_oracle<T>(host);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::rope_of_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::rope_of_an_empty_tensor(host);
}

BOOST_AUTO_TEST_CASE(rounded_angles_are_those_of_the_element) {
  // Position 300, first pair: the angle is 300, which bf16 has; position 301 is rounded to 300 or 302.
  const LatentShape shape{302, 1, 1};
  const RopeSplit split{4, 2, 2};
  const auto exact = make_rope_table<bf16>(host, shape, split);
  const auto rounded = make_rope_table<bf16>(host, shape, split, RopeAngles::rounded_to_element);
  const auto in_float = make_rope_table<float>(host, shape, split, RopeAngles::rounded_to_element);
  const auto cosine = [](const auto& table, index_t position) {
    return table.view().frame.cosines[position * 2];
  };
  BOOST_CHECK_EQUAL(cosine(exact, 300), std::cos(300.0f));
  BOOST_CHECK_EQUAL(cosine(rounded, 300), std::cos(300.0f));
  BOOST_CHECK_CLOSE(cosine(exact, 301), std::cos(301.0), 1e-4);
  BOOST_CHECK_CLOSE(cosine(in_float, 301), std::cos(301.0), 1e-4);
  BOOST_CHECK_CLOSE(cosine(rounded, 301), std::cos(300.0), 1e-4);  // ties go to even
}

BOOST_AUTO_TEST_CASE(a_table_in_memory_of_the_callers_is_the_same) {
  const LatentShape shape{3, 4, 5};
  const RopeSplit split{8, 4, 4};
  const auto table = make_rope_table<bf16>(host, shape, split, RopeAngles::rounded_to_element);
  const Buffer<std::byte> memory(static_cast<index_t>(rope_table_workspace(shape, split)));
  const auto view =
      make_rope_table_in<bf16>(host, Workspace(memory), shape, split, RopeAngles::rounded_to_element);
  const auto check_same = [](const RopeAxis& actual, const RopeAxis& expected, int positions) {
    BOOST_CHECK_EQUAL(actual.pairs, expected.pairs);
    BOOST_CHECK_EQUAL(actual.first_channel, expected.first_channel);
    const auto check_values = [&](const float* of_actual, const float* of_expected) {
      const index_t count = positions * expected.pairs;
      BOOST_CHECK_EQUAL_COLLECTIONS(of_actual, of_actual + count, of_expected, of_expected + count);
    };
    check_values(actual.cosines, expected.cosines);
    check_values(actual.sines, expected.sines);
  };
  check_same(view.frame, table.view().frame, shape.frames);
  check_same(view.row, table.view().row, shape.height);
  check_same(view.column, table.view().column, shape.width);
  BOOST_CHECK_THROW(make_rope_table_in<bf16>(host, Workspace(memory), {3, 4, 50}, split), RequestError);
}

BOOST_AUTO_TEST_CASE(tables_for_another_tensor_are_refused) {
  testing::rope_refuses_by_name(host);
  BOOST_CHECK_THROW(make_rope_table<float>(host, {2, 2, 2}, RopeSplit{3, 2, 2}), RequestError);
}
