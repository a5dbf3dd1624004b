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
    if (queries.dim == 128)
      launch_warp_attention<8, T>(device, queries, keys, values, mask, out, options);
    else
      launch_warp_attention<4, T>(device, queries, keys, values, mask, out, options);
  }
};

using Subjects = std::tuple<testing::Subject<Kernel, bf16>, testing::Subject<Kernel, fp16>,
                            testing::Subject<WideKernel, bf16>, testing::Subject<WideKernel, fp16>>;

const testing::AttentionLimits limits{.dims = {64, 128}, .trials = 30};

}  // namespace

#include "kernels/attention/device_tests.cuh"

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::views_that_do_not_fit_are_refused_by_name<bf16>(
      [](auto... arguments) { warp_attention(device, arguments...); });
  const auto view = HeadsView<bf16>::dense(nullptr, 1, 1, 1, 96);
  BOOST_CHECK_EXCEPTION(warp_attention(device, view, view, view, FullMask{}, view, {}), RequestError,
                        [](const RequestError& error) {
                          return std::string(error.what()) ==
                                 "attention's head dimension 96 is not built; built are 64, 128";
                        });
}
