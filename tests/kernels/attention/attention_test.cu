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
    served += attention_path<T>(device, queries, keys, values, mask, out, options).kernel ==
              AttentionKernel::warpgroup;
    attention<T>(device, queries, keys, values, mask, out, options);
  }
};

/// Leaves the scale, which the cases set to 1 / sqrt(dim), to the default.
struct WithoutScale {
  template <class T, class Mask>
  void operator()(Device device, HeadsView<T> queries, HeadsView<T> keys, HeadsView<T> values,
                  const Mask& mask, HeadsView<T> out, AttentionOptions options) const {
    options.scale.reset();
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

BOOST_AUTO_TEST_CASE(other_elements_and_widths_are_served_without_tensor_cores) {
  testing::AttentionLimits few{.dims = {20, 200}, .trials = 10};
  testing::full_attention_agrees<bf16>(testing::OnDevice<Kernel>{}, few);
  few.dims.push_back(64);
  testing::full_attention_agrees<float>(testing::OnDevice<Kernel>{}, few);
}

BOOST_AUTO_TEST_CASE(without_a_scale_it_is_one_over_the_root_of_the_width) {
  for (const index_t dim : {64, 128, 20}) {
    std::mt19937 engine(7);
    const testing::AttentionProblem<bf16> problem(engine, {.queries = 33, .keys = 70, .dim = dim});
    const auto bits = [&](auto on_device) {
      testing::for_each_element(problem.out.view, [](index_t, bf16& value) { value = bf16(NAN); });
      on_device(problem, FullMask{});
      std::vector<int> result;
      testing::for_each_element(problem.out.view, [&](index_t, bf16 value) { result.push_back(value.bits); });
      return result;
    };
    BOOST_CHECK(bits(testing::OnDevice<WithoutScale>{}) == bits(testing::OnDevice<Kernel>{}));
  }
}
