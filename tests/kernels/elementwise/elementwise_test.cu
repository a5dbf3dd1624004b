#define BOOST_TEST_MODULE elementwise_device
#include <tuple>

#include <stepvideo/kernels/elementwise/convert.cuh>
#include <stepvideo/kernels/elementwise/embed.cuh>
#include <stepvideo/kernels/elementwise/latents.cuh>
#include <stepvideo/kernels/elementwise/sum_parts.cuh>
#include <stepvideo/kernels/elementwise/timestep.cuh>

#include "kernels/elementwise/elementwise_cases.hpp"
#include "kernels/elementwise/elementwise_refusals.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

using Elements = std::tuple<float, bf16>;

BOOST_AUTO_TEST_CASE_TEMPLATE(latents_become_tokens_and_come_back, T, Elements) {
  testing::latents_become_tokens_and_come_back<T>(device);
}
BOOST_AUTO_TEST_CASE(latents_of_many_frames) {
  testing::latents_of_many_frames(device);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(timestep_sinusoids_put_cosines_first, T, Elements) {
  testing::timestep_sinusoids_put_cosines_first<T>(device);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(a_table_is_added_to_rows_of_its_own_or_to_a_shared_row, T, Elements) {
  testing::a_table_is_added_to_rows_of_its_own_or_to_a_shared_row<T>(device);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(an_embedding_is_the_sum_of_its_rows, T, Elements) {
  testing::an_embedding_is_the_sum_of_its_rows<T>(device);
}
BOOST_AUTO_TEST_CASE(conversion_rounds_after_its_function) {
  testing::conversion_rounds_after_its_function<float, bf16>(device);
  testing::conversion_rounds_after_its_function<bf16, float>(device);
  testing::conversion_rounds_after_its_function<bf16, bf16>(device);
  testing::conversion_rounds_after_its_function<float, fp16>(device);
  testing::conversion_in_place_of_many_batch_elements(device);
}

namespace {

template <class Place>
void all_cases(const Place& on) {
  testing::latents_become_tokens_and_come_back<bf16>(on);
  testing::timestep_sinusoids_put_cosines_first<float>(on);
  testing::a_table_is_added_to_rows_of_its_own_or_to_a_shared_row<float>(on);
  testing::an_embedding_is_the_sum_of_its_rows<bf16>(on);
  testing::conversion_rounds_after_its_function<float, bf16>(on, 5);
}

}  // namespace

BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  all_cases(Device(stream));
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  all_cases(testing::InGraph());
}
BOOST_AUTO_TEST_CASE(an_id_outside_the_vocabulary_makes_a_row_of_nan) {
  std::mt19937 engine(8);
  for (const index_t width : {8, 3}) {
    const auto words = testing::to_device(testing::random_normal<float>(11 * width, engine));
    const auto out = testing::to_device(Buffer<float>(3 * width));
    Buffer<std::int32_t> ids(3);
    ids[0] = 11, ids[1] = 10, ids[2] = -1;
    const auto placed = testing::to_device(ids);
    embed(device, MatrixView<const std::int32_t>(placed.matrix(1, 3)), {.words = words.matrix(11, width)},
          TokensView<float>::dense(out.data(), 1, 3, width));
    const auto result = testing::to_host(out);
    for (index_t i = 0; i < result.size(); ++i) BOOST_CHECK_EQUAL(std::isnan(result[i]), i / width != 1);
  }
}
BOOST_AUTO_TEST_CASE(heads_are_converted_from_any_strides_to_any) {
  testing::heads_are_converted_from_any_strides_to_any<bf16, bf16>(device);
  testing::heads_are_converted_from_any_strides_to_any<float, bf16>(device);
  testing::heads_are_converted_from_any_strides_to_any<float, float>(device);
}
BOOST_AUTO_TEST_CASE(parts_are_added_in_their_order_and_rounded_once) {
  testing::parts_are_added_in_their_order_and_rounded_once<float>(device);
  testing::parts_are_added_in_their_order_and_rounded_once<bf16>(device);
  testing::parts_are_added_in_their_order_and_rounded_once<fp16>(device);
}
