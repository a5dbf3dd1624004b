#define BOOST_TEST_MODULE pixels
#include <omp.h>

#include "kernels/elementwise/pixels_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(pixels_are_the_nearest) {
  testing::pixels_are_the_nearest(host);
}
BOOST_AUTO_TEST_CASE(frames_and_rows_beyond_a_grid) {
  testing::frames_and_rows_beyond_a_grid(host);
}
BOOST_AUTO_TEST_CASE(bytes_stay_what_they_were_for_any_number_of_threads) {
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    testing::bytes_stay_what_they_were(host);
  }
}
BOOST_AUTO_TEST_CASE(a_seam_draws_its_two_frames_together) {
  testing::a_seam_draws_its_two_frames_together(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::pixels_refuse_by_name(host);
}
BOOST_AUTO_TEST_CASE(empty_tensors) {
  testing::no_pixels_leave_nothing_to_do(host);
}
