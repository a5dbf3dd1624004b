#define BOOST_TEST_MODULE scaled_linear_device
#include <stepvideo/kernels/linear/scaled_linear.cuh>

#include "kernels/linear/planned.cuh"
#include "kernels/linear/scaled_linear_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice, testing::Planned;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// Tensor cores keep about 14 bits of a sum of fp8 products.
constexpr double sum_error = 16'000;

}  // namespace

BOOST_AUTO_TEST_CASE(products_of_fp8_agree_with_the_oracle) {
  Planned planned;
  testing::scaled_products_agree_with_the_oracle<float>(planned.execution, sum_error);
  testing::scaled_products_agree_with_the_oracle<bf16>(planned.execution, sum_error);
}
BOOST_AUTO_TEST_CASE(requests_that_do_not_fit_are_refused) {
  Planned planned;
  testing::scaled_requests_that_do_not_fit_are_refused(planned.execution);
}

BOOST_AUTO_TEST_CASE(on_hopper_the_library_multiplies_with_the_scales_and_gives_the_same_bits_again) {
  Planned planned;
  std::mt19937 engine(63);
  const testing::ScaledMatrix in(planned.execution, 640, 1024, 1.0f, engine),
      weight(planned.execution, 512, 1024, 0.05f, engine);
  const auto once = [&](index_t rows, const LinearOptions& options) {
    const auto out = testing::to_device(testing::poisoned<bf16>(rows * 512));
    const ScaledRows part{in.values.matrix(rows, 1024), {in.scales.data(), rows}};
    linear(planned.execution, part, weight.view(), Store{}, out.matrix(rows, 512), options);
    return testing::to_host(out);
  };
  const auto whole = once(640, {}), again = once(640, {}), part = once(384, {.planned_rows = 640});
  BOOST_CHECK(testing::same_bits(whole, again));
  BOOST_CHECK(
      std::equal(part.begin(), part.end(), whole.begin(), [](bf16 a, bf16 b) { return a.bits == b.bits; }));
  MatmulCall call{.shape = {640, 512, 1024, MatmulElement::fp8, MatmulElement::bf16, MatmulEpilogue::store},
                  .rows = 640,
                  .in_scales = in.scales.data(),
                  .weight_scales = weight.scales.data(),
                  .in_stride = 1024,
                  .weight_stride = 1024,
                  .residual_stride = 512,
                  .out_stride = 512};
  const bool is_hopper = planned.plans.platform().capability_major == 9;
  BOOST_CHECK_EQUAL(planned.plans.algorithm(call).has_value(), is_hopper);
}
