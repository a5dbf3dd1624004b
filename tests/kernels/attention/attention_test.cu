#define BOOST_TEST_MODULE attention_device
#include <tuple>

#include <stepvideo/kernels/attention/attention.cuh>

#include "kernels/attention/on_device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

namespace {

/// How many calls Hopper's path served.
int served = 0;

struct Kernel {
  template <class T, class Mask>
  void operator()(Device device, HeadsView<T> queries, HeadsView<T> keys, HeadsView<T> values,
                  const Mask& mask, HeadsView<T> out, const AttentionOptions& options) const {
    served += warpgroup_attention_serves<T>(queries, keys, values, mask, out, options);
    attention<T>(device, queries, keys, values, mask, out, options);
  }
};

using Subjects = std::tuple<testing::Subject<Kernel, bf16>, testing::Subject<Kernel, fp16>>;

const testing::AttentionLimits limits{.dims = {64, 128}, .trials = 60};

}  // namespace

#include "kernels/attention/device_tests.cuh"

BOOST_AUTO_TEST_CASE(the_path_of_the_device_was_taken) {
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  if (major == 9) BOOST_CHECK_GT(served, 150);
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::views_that_do_not_fit_are_refused_by_name<bf16>(
      [](auto... arguments) { attention(device, arguments...); });
}
