#define BOOST_TEST_MODULE quantize_rows
#include "kernels/elementwise/quantize_rows_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(every_element_is_rounded_to_the_nearest) {
  testing::quantised_rows_are_the_nearest<float>(host);
  testing::quantised_rows_are_the_nearest<bf16>(host);
}
BOOST_AUTO_TEST_CASE(a_function_of_each_element_comes_first) {
  testing::quantised_rows_are_the_nearest<float, testing::OfGelu>(host);
  testing::quantised_rows_are_the_nearest<bf16, testing::OfGelu>(host);
}
BOOST_AUTO_TEST_CASE(more_wide_rows_than_blocks) {
  testing::more_wide_rows_than_blocks(host);
}
BOOST_AUTO_TEST_CASE(zeros_stay_zeros_and_nan_stays_nan) {
  testing::rows_of_zeros_and_of_what_is_no_number(host);
}
BOOST_AUTO_TEST_CASE(batches_beyond_65535) {
  testing::quantised_rows_of_many_batch_elements(host);
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::no_rows_to_quantise(host);
}
BOOST_AUTO_TEST_CASE(scales_that_do_not_fit_are_refused) {
  testing::scales_that_do_not_fit_are_refused(host);
}
