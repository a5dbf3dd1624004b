#define BOOST_TEST_MODULE rearrange_device
#include <stepvideo/kernels/conv/channels.cuh>
#include <stepvideo/kernels/conv/pixel_shuffle.cuh>

#include "kernels/conv/rearrange_cases.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(a_shuffle_spreads_channels_over_two_by_two_by_two_pixels) {
  check_shuffles(device);
}
BOOST_AUTO_TEST_CASE(an_unshuffle_gathers_them_behind_a_frame_of_zeros) {
  check_unshuffles(device);
}
BOOST_AUTO_TEST_CASE(channels_repeat_and_average) {
  check_channels(device);
}
BOOST_AUTO_TEST_CASE(they_run_in_graphs) {
  const InGraph graph;
  check_shuffles(graph);
  check_unshuffles(graph);
  check_channels(graph);
}
