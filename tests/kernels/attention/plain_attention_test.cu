#define BOOST_TEST_MODULE plain_attention_device
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include <stepvideo/kernels/attention/plain_attention.cuh>

#include "kernels/attention/on_device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

namespace {

struct Kernel {
  template <class... Arguments>
  void operator()(Device device, const Arguments&... arguments) const {
    plain_attention(device, arguments...);
  }
};

using Subjects = std::tuple<testing::Subject<Kernel, float>, testing::Subject<Kernel, bf16>,
                            testing::Subject<Kernel, fp16>>;

// Fewer than a group of four, ragged, models' widths, and more than a block keeps.
const testing::AttentionLimits limits{.dims = {1, 2, 16, 20, 32, 64, 72, 128, 200, 512, 800}, .trials = 60};

}  // namespace

#include "kernels/attention/device_tests.cuh"
