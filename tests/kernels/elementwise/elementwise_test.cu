#define BOOST_TEST_MODULE elementwise_device
#include <tuple>

#include <stepvideo/kernels/elementwise/latents.cuh>
#include <stepvideo/kernels/elementwise/timestep.cuh>

#include "kernels/elementwise/elementwise_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

using Elements = std::tuple<float, bf16>;

BOOST_AUTO_TEST_CASE_TEMPLATE(latents_become_tokens_and_come_back, T, Elements) {
  testing::latents_become_tokens_and_come_back<T>(device);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(timestep_sinusoids_put_cosines_first, T, Elements) {
  testing::timestep_sinusoids_put_cosines_first<T>(device);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(a_table_is_added_to_rows_of_its_own_or_to_a_shared_row, T, Elements) {
  testing::a_table_is_added_to_rows_of_its_own_or_to_a_shared_row<T>(device);
}
