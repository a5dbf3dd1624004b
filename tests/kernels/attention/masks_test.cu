#define BOOST_TEST_MODULE attention_masks_device
#include <stepvideo/kernels/attention/attention.cuh>

#include "kernels/attention/on_device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

namespace {

/// How many calls went to each path.
int by_warpgroups = 0, by_warps = 0;

struct Kernel {
  template <class T, class Mask>
  void operator()(Device device, HeadsView<T> queries, HeadsView<T> keys, HeadsView<T> values,
                  const Mask& mask, HeadsView<T> out, const AttentionOptions& options) const {
    const auto path = attention_path<T>(device, queries, keys, values, mask, out, options).kernel;
    by_warpgroups += path == AttentionKernel::warpgroup, by_warps += path == AttentionKernel::warp;
    attention<T>(device, queries, keys, values, mask, out, options);
  }
};

constexpr testing::OnDevice<Kernel> on_device;

// Heads of 20 channels have no tensor cores.
const testing::AttentionLimits limits{.dims = {20, 64, 128}, .trials = 60};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(bottom_right_causal_attention_agrees_with_the_oracle) {
  testing::bottom_right_causal_attention_agrees<bf16>(on_device, limits);
}

BOOST_AUTO_TEST_CASE(sliding_windows_agree_with_the_oracle) {
  testing::sliding_windows_agree<bf16>(on_device, limits);
}

BOOST_AUTO_TEST_CASE(packed_sequences_agree_with_the_oracle) {
  testing::packed_sequences_agree<bf16>(on_device, limits);
}

BOOST_AUTO_TEST_CASE(every_path_was_taken) {
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  if (major == 9) BOOST_CHECK_GT(by_warpgroups, 30);
  BOOST_CHECK_GT(by_warps, 30);
}
