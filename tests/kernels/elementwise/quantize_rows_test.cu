#define BOOST_TEST_MODULE quantize_rows_device
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>

#include "kernels/elementwise/quantize_rows_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_is_rounded_to_the_nearest) {
  testing::quantised_rows_are_the_nearest<float>(device);
  testing::quantised_rows_are_the_nearest<bf16>(device);
}
BOOST_AUTO_TEST_CASE(a_function_of_each_element_comes_first) {
  testing::quantised_rows_are_the_nearest<float, testing::OfGelu>(device);
  testing::quantised_rows_are_the_nearest<bf16, testing::OfGelu>(device);
}
BOOST_AUTO_TEST_CASE(more_wide_rows_than_blocks) {
  testing::more_wide_rows_than_blocks(device);
}
BOOST_AUTO_TEST_CASE(zeros_stay_zeros_and_nan_stays_nan) {
  testing::rows_of_zeros_and_of_what_is_no_number(device);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::quantised_rows_of_many_batch_elements(device);
}
BOOST_AUTO_TEST_CASE(on_a_stream_and_in_a_graph) {
  const testing::OwnStream stream;
  testing::quantised_rows_are_the_nearest<bf16>(Device(stream), 10);
  testing::quantised_rows_are_the_nearest<bf16>(testing::InGraph(), 10);
}
