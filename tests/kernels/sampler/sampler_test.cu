#define BOOST_TEST_MODULE sampler_device
#include <stepvideo/kernels/sampler/guided_step.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "kernels/sampler/sampler_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(a_guided_step_follows_its_formula) {
  testing::a_guided_step_follows_its_formula(device);
}

BOOST_AUTO_TEST_CASE(noise_has_the_bits_of_the_hosts) {
  for (const std::uint64_t seed : {0ull, 42ull, ~0ull})
    for (const std::uint64_t first : {0ull, 500ull, (1ull << 32) - 10}) {
      const Buffer<float> expected(100'003);
      const auto noise = testing::to_device(testing::poisoned<float>(expected.size()));
      fill_unit_normal(host, seed, first, expected.vector());
      fill_unit_normal(device, seed, first, noise.vector());
      BOOST_CHECK(testing::same_bits(testing::to_host(noise), expected));
    }
}
