#define BOOST_TEST_MODULE far_rows
#include "kernels/far_rows_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(norms) {
  testing::far_rows_of_norms(host);
}
BOOST_AUTO_TEST_CASE(elementwise_kernels) {
  testing::far_rows_of_elementwise_kernels(host);
}
BOOST_AUTO_TEST_CASE(rotations) {
  testing::far_rows_of_rotations(host);
}
