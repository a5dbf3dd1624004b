#define BOOST_TEST_MODULE sampler_device
#include <tuple>

#include <stepvideo/kernels/sampler/count_non_finite.cuh>
#include <stepvideo/kernels/sampler/guided_step.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "kernels/sampler/sampler_cases.hpp"

using namespace stepvideo;

using Elements = std::tuple<float, bf16, fp16>;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(a_guided_step_follows_its_formula) {
  testing::a_guided_step_follows_its_formula(device);
}
BOOST_AUTO_TEST_CASE(a_guided_step_on_a_stream_and_in_a_graph) {
  const testing::OwnStream stream;
  testing::a_guided_step_follows_its_formula(Device(stream));
  testing::a_guided_step_follows_its_formula(testing::InGraph());
}

BOOST_AUTO_TEST_CASE(noise_has_the_bits_of_the_hosts) {
  for (const std::uint64_t seed : {0ull, 42ull, ~0ull})
    for (const std::uint64_t first : {0ull, 500ull, (1ull << 32) - 10}) {
      const Buffer<float> expected(100'003);
      fill_unit_normal(host, seed, first, expected.vector());
      const auto check_on = [&](const auto& on) {
        const auto noise = testing::place(on, testing::poisoned<float>(expected.size()));
        testing::run(on, [&](auto execution) { fill_unit_normal(execution, seed, first, noise.vector()); });
        BOOST_CHECK(testing::same_bits(testing::fetch(on, noise), expected));
      };
      const testing::OwnStream stream;
      check_on(device);
      check_on(Device(stream));
      check_on(testing::InGraph());
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(noise_for_weights_has_the_bits_of_the_hosts, T, Elements) {
  const Buffer<T> expected(100'003);
  const auto weights = testing::to_device(testing::poisoned<T>(expected.size()));
  const std::uint64_t first = (1ull << 34) + 3;
  fill_normal(host, 42, first, 0.0127f, expected.vector());
  fill_normal(device, 42, first, 0.0127f, weights.vector());
  BOOST_CHECK(testing::same_bits(testing::to_host(weights), expected));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nan_and_infinities_are_counted, T, Elements) {
  testing::nan_and_infinities_are_counted<T>(device);
}

BOOST_AUTO_TEST_CASE(a_count_arrives_in_pinned_memory) {
  std::mt19937 engine(1);
  auto values = testing::random_normal<float>(5000, engine);
  values[17] = values[4999] = NAN;
  const auto placed = testing::to_device(values);
  std::uint64_t* count = nullptr;
  check(cudaMallocHost(&count, sizeof *count));
  *count = 12345;
  const Buffer<std::byte, Device> memory(
      device, static_cast<index_t>(count_non_finite_workspace<float>(device, values.size())));
  count_non_finite<float>(device, placed.vector(), count, Workspace(memory));
  synchronize(device);
  BOOST_CHECK_EQUAL(*count, 2u);
  check(cudaFreeHost(count));
}
