#define BOOST_TEST_MODULE elementwise
#include <tuple>

#include "kernels/elementwise/elementwise_cases.hpp"
#include "kernels/elementwise/elementwise_refusals.hpp"

using namespace stepvideo;

using Elements = std::tuple<float, bf16>;

BOOST_AUTO_TEST_CASE_TEMPLATE(latents_become_tokens_and_come_back, T, Elements) {
  testing::latents_become_tokens_and_come_back<T>(host);
}
BOOST_AUTO_TEST_CASE(latents_of_many_frames) {
  testing::latents_of_many_frames(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(timestep_sinusoids_put_cosines_first, T, Elements) {
  testing::timestep_sinusoids_put_cosines_first<T>(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(a_table_is_added_to_rows_of_its_own_or_to_a_shared_row, T, Elements) {
  testing::a_table_is_added_to_rows_of_its_own_or_to_a_shared_row<T>(host);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(an_embedding_is_the_sum_of_its_rows, T, Elements) {
  testing::an_embedding_is_the_sum_of_its_rows<T>(host);
}
BOOST_AUTO_TEST_CASE(conversion_rounds_after_its_function) {
  testing::conversion_rounds_after_its_function<float, bf16>(host);
  testing::conversion_rounds_after_its_function<bf16, float>(host);
  testing::conversion_rounds_after_its_function<bf16, bf16>(host);
  testing::conversion_in_place_of_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(ids_outside_the_vocabulary_are_refused_by_name) {
  const Buffer<float> words(11 * 4), out(2 * 4);
  Buffer<std::int32_t> ids(2);
  for (const int bad : {11, -1}) {
    ids[0] = 3, ids[1] = bad;
    testing::check_refused(
        [&] {
          embed(host, ids.matrix(1, 2), {.words = words.matrix(11, 4)},
                TokensView<float>::dense(out.data(), 1, 2, 4));
        },
        ("token id " + std::to_string(bad) + " is outside the vocabulary of 11").c_str());
  }
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::empty_tensors_leave_nothing_to_do(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::elementwise_kernels_refuse_by_name(host);
}
BOOST_AUTO_TEST_CASE(heads_are_converted_from_any_strides_to_any) {
  testing::heads_are_converted_from_any_strides_to_any<bf16, bf16>(host);
  testing::heads_are_converted_from_any_strides_to_any<float, bf16>(host);
  testing::heads_are_converted_from_any_strides_to_any<float, float>(host);
}
BOOST_AUTO_TEST_CASE(parts_are_added_in_their_order_and_rounded_once) {
  testing::parts_are_added_in_their_order_and_rounded_once<float>(host);
  testing::parts_are_added_in_their_order_and_rounded_once<bf16>(host);
  testing::parts_are_added_in_their_order_and_rounded_once<fp16>(host);
}
