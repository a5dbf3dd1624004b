// What the GPU's linear refuses before it asks CUDA for anything: these run without a GPU.
#define BOOST_TEST_MODULE linear_refusals_device
#include <stepvideo/kernels/linear/linear.cuh>

#include "kernels/linear/linear_cases.hpp"

using namespace stepvideo;

static_assert(EpilogueRunsInMatmul<Store, bf16> && EpilogueRunsInMatmul<Store, float>);
static_assert(EpilogueRunsInMatmul<Bias<bf16>, bf16> && EpilogueRunsInMatmul<Bias<float>, float>);
static_assert(!EpilogueRunsInMatmul<Bias<bf16>, float>, "a float result takes a float bias");
static_assert(EpilogueRunsInMatmul<Chain<Bias<fp16>, Activate<GeluTanh>>, fp16>);
static_assert(!EpilogueRunsInMatmul<Activate<GeluTanh>, float>, "11 bits of tanh are too few");
static_assert(!EpilogueRunsInMatmul<Activate<GeluErf>, bf16> && !EpilogueRunsInMatmul<Activate<Silu>, bf16>);
static_assert(EpilogueRunsInMatmul<Residual<float>, float> && !EpilogueRunsInMatmul<Residual<float>, bf16>);
static_assert(!EpilogueRunsInMatmul<GatedResidual<bf16>, bf16> && !EpilogueRunsInMatmul<SwiGlu, bf16>);

namespace {

template <class T, class Out>
concept HasLinear = requires(MatrixView<T> in, MatrixView<Out> out) {
  linear(device, in, in, Store{}, out);
};
static_assert(HasLinear<float, float> && HasLinear<bf16, bf16> && HasLinear<fp16, float>);
static_assert(!HasLinear<float, bf16> && !HasLinear<bf16, fp16>,
              "the library stores the operands' element or float");
static_assert(!HasLinear<fp8_e4m3, bf16>, "quantised operands have scales");

auto says(const char* text) {
  return
      [text](const RequestError& error) { return std::string(error.what()).find(text) != std::string::npos; };
}

}  // namespace

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::linear_refuses_views_by_name(device);
}
BOOST_AUTO_TEST_CASE(rows_that_overlap_are_refused_by_name) {
  const Buffer<float> values(64);
  const auto in = values.matrix(2, 4), weight = values.matrix(3, 4), out = values.matrix(2, 3);
  const auto overlapping = [](MatrixView<float> view) { return --view.row_stride, view; };
  BOOST_CHECK_EXCEPTION(linear(device, overlapping(in), weight, Store{}, out), RequestError,
                        says("the rows of in (2, 4) have a stride of 3"));
  BOOST_CHECK_EXCEPTION(linear(device, in, overlapping(weight), Store{}, out), RequestError,
                        says("of weight (3, 4)"));
  BOOST_CHECK_EXCEPTION(linear(device, in, weight, Store{}, overlapping(out)), RequestError,
                        says("of out (2, 3)"));
}
BOOST_AUTO_TEST_CASE(a_device_without_plans_is_refused) {
  const Buffer<float> values(64);
  BOOST_CHECK_EXCEPTION(
      linear(device, values.matrix(2, 4), values.matrix(3, 4), Store{}, values.matrix(2, 3)), RequestError,
      says("the Device has no plans"));
}
