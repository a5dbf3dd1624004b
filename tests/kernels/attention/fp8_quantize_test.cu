#define BOOST_TEST_MODULE fp8_quantize_device
#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/attention/quantize_attention.cuh>

#include "kernels/attention/fp8_quantize_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(heads_read_back_as_what_they_were) {
  testing::quantized_heads_read_back_as_what_they_were<bf16>(device);
}

BOOST_AUTO_TEST_CASE(values_read_back_as_what_they_were) {
  testing::quantized_values_read_back_as_what_they_were<bf16>(device);
}

BOOST_AUTO_TEST_CASE(without_rotation_and_means_the_host_makes_the_same_bits) {
  std::mt19937 engine(5);
  for (const index_t dim : {64, 128}) {
    const index_t tokens = 300, heads = 2, padded = 384;
    const testing::StridedHeads<bf16> in(engine, 0, 1, tokens, heads, dim, true);
    const QuantizeOptions options{.rotate = false, .center = false};
    const auto run = [&](auto execution) {
      const auto storage = testing::carry(execution, in.storage);
      const auto codes =
          testing::carry(execution, testing::poisoned<fp8_e4m3>((tokens + padded) * heads * dim));
      const auto floats = testing::carry(execution, testing::poisoned<float>(3 * heads + 2 * heads * dim));
      const Buffer<std::byte, decltype(execution)> workspace(execution, 1 << 20);
      quantize_heads<bf16>(
          execution, in.in(storage), {}, options,
          QuantizedHeads<fp8_e4m3>::head_major(codes.data(), floats.data(), 1, tokens, heads, dim));
      quantize_values<bf16>(execution, in.in(storage), options,
                            QuantizedValues<fp8_e4m3>::head_major(
                                codes.data() + tokens * heads * dim, floats.data() + 3 * heads,
                                floats.data() + 3 * heads + heads * dim, 1, tokens, heads, dim),
                            Workspace(workspace));
      return std::pair(testing::bring(codes), testing::bring(floats));
    };
    const auto [host_codes, host_floats] = run(host);
    const auto [device_codes, device_floats] = run(device);
    for (index_t i = 0; i < host_floats.size(); ++i) BOOST_REQUIRE_EQUAL(host_floats[i], device_floats[i]);
    for (index_t i = 0; i < host_codes.size(); ++i)
      BOOST_REQUIRE_EQUAL(int(host_codes[i].bits), int(device_codes[i].bits));
  }
}
