#define BOOST_TEST_MODULE rms_norm
#include "kernels/norm/rms_norm_cases.hpp"

using namespace stepvideo;

namespace {

const auto on_host = [](const auto&, auto in, const auto& weight, const auto&, auto out) {
  rms_norm(host, in, weight.vector(), 1e-6f, out);
};

}  // namespace

BOOST_AUTO_TEST_CASE(float_agrees_with_the_oracle) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<float>(on_host, 1e-6);
}

BOOST_AUTO_TEST_CASE(bf16_agrees_with_the_oracle) {
  testing::rms_norm_agrees_with_its_oracle_on_ragged_shapes<bf16>(on_host, 5e-3);
}

BOOST_AUTO_TEST_CASE(the_input_may_be_the_output) {
  std::mt19937 engine(2);
  const auto in = testing::random_normal<float>(6 * 64, engine),
             weight = testing::random_normal<float>(64, engine);
  const auto expected =
      oracle::rms_norm<float>(HeadsView<const float>::dense(in.data(), 1, 3, 2, 64), weight.data(), 1e-6);
  const auto view = HeadsView<float>::dense(in.data(), 1, 3, 2, 64);
  rms_norm(host, view, weight.vector(), 1e-6f, view);
  STEPVIDEO_CHECK_CLOSE(in, expected, 1e-6);
}

BOOST_AUTO_TEST_CASE(a_weight_of_another_size_is_refused_by_name) {
  Buffer<float> values(64), weight(63);
  const auto view = HeadsView<float>::dense(values.data(), 1, 1, 1, 64);
  BOOST_CHECK_EXCEPTION(rms_norm(host, view, weight.vector(), 1e-6f, view), RequestError,
                        [](const RequestError& error) {
                          return std::string(error.what()) ==
                                 "rms_norm: weight has 63 elements and a row has 64; they must be equal";
                        });
}
