#define BOOST_TEST_MODULE rms_norm_device
#include <stepvideo/kernels/norm/rms_norm.cuh>

#include "kernels/norm/rms_norm_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// The host's case, with its buffers carried to the GPU and the result carried back.
struct OnDevice {
  template <class T>
  void operator()(const Buffer<T>& storage, HeadsView<const T> in, const Buffer<T>& weight,
                  const Buffer<T>& result, HeadsView<T> out) const {
    const auto device_in = testing::to_device(storage), device_weight = testing::to_device(weight);
    const auto device_out = testing::to_device(result);  // poisoned there as well
    in.data = device_in.data() + (in.data - storage.data());
    out.data = device_out.data() + (out.data - result.data());
    rms_norm(device, in, device_weight.vector(), 1e-6f, out);
    copy(device, device_out, result);
    synchronize(device);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(float_agrees_with_the_oracle) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<float>(OnDevice{}, 1e-6);
}

BOOST_AUTO_TEST_CASE(bf16_agrees_with_the_oracle) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<bf16>(OnDevice{}, 5e-3);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(4);
  const auto in = testing::to_device(testing::random_normal<bf16>(1000 * 128, engine));
  const auto weight = testing::to_device(testing::random_normal<bf16>(128, engine));
  const Buffer<bf16, Device> out(device, in.size());
  Buffer<bf16> first;
  for (int run = 0; run < 50; ++run) {
    rms_norm(device, HeadsView<const bf16>::dense(in.data(), 1, 1000, 1, 128), weight.vector(), 1e-6f,
             HeadsView<bf16>::dense(out.data(), 1, 1000, 1, 128));
    auto result = testing::to_host(out);
    if (run == 0)
      first = std::move(result);
    else
      BOOST_REQUIRE(std::equal(result.begin(), result.end(), first.begin(),
                               [](bf16 a, bf16 b) { return a.bits == b.bits; }));
  }
}
