#define BOOST_TEST_MODULE qk_norm_rope
#include <string>

#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "kernels/rope/quantized_qk_cases.hpp"

using namespace stepvideo;

namespace {

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
    testing::apply(host, c);
    BOOST_CHECK(testing::gathered(c.out.queries) == testing::gathered(parts[0]));
    BOOST_CHECK(testing::gathered(c.out.keys) == testing::gathered(parts[1]));
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_oracle) {
  testing::qk_norm_rope_agrees_with_its_oracle<float>(host, 40);
  testing::qk_norm_rope_agrees_with_its_oracle<bf16>(host, 40);
}
BOOST_AUTO_TEST_CASE(every_quantized_element_agrees_with_the_oracle) {
  testing::quantized_qk_agrees_with_its_oracle<float>(host, 24);
  testing::quantized_qk_agrees_with_its_oracle<bf16>(host, 24);
}
BOOST_AUTO_TEST_CASE(results_have_the_bits_of_the_norm_and_the_rotation_one_after_the_other) {
  check_equals_the_single_kernels<float>();
  check_equals_the_single_kernels<bf16>();
}
BOOST_AUTO_TEST_CASE(blocks_of_zeros) {
  testing::a_block_of_zeros_has_the_least_scale(host);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::qk_norm_rope_of_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::qk_norm_rope_of_an_empty_tensor(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::qk_norm_rope_refuses_by_name(host);
}
