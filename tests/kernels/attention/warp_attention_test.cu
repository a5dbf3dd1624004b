#define BOOST_TEST_MODULE warp_attention_device
#include <tuple>

#include <stepvideo/kernels/attention/warp_attention.cuh>

#include "kernels/attention/on_device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

namespace {

/// Small problems take blocks of four warps.
struct Kernel {
  template <class... Arguments>
  void operator()(Device device, const Arguments&... arguments) const {
    warp_attention(device, arguments...);
  }
};
/// What large problems with heads of 128 channels take.
struct WideKernel {
  template <class T, class Mask>
  void operator()(Device device, HeadsView<T> queries, HeadsView<T> keys, HeadsView<T> values,
                  const Mask& mask, HeadsView<T> out, const AttentionOptions& options) const {
    if (queries.tokens == 0) return;
    if (queries.dim == 128)
      launch_warp_blocks<8, T>(device, queries, keys, values, mask, out, options);
    else
      launch_warp_blocks<4, T>(device, queries, keys, values, mask, out, options);
  }
};

using Subjects = std::tuple<testing::Subject<Kernel, bf16>, testing::Subject<Kernel, fp16>,
                            testing::Subject<WideKernel, bf16>, testing::Subject<WideKernel, fp16>>;

const testing::AttentionLimits limits{.dims = {64, 128}, .trials = 30};

}  // namespace

#include "kernels/attention/device_tests.cuh"
