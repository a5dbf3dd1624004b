// Convolutions after a nearest doubling, which is never made.
#define BOOST_TEST_MODULE doubling
#include <array>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/conv/upsample.hpp>

#include "kernels/conv/conv_cases.hpp"
#include "oracle/conv.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

constexpr ConvForm doubling = ConvForm::after_doubling;
/// Against the convolution of the doubled video with the weights as they are: both within their budgets of
/// the formula, so within the sum of the budgets of one another.
template <class T>
void check_against_plain() {
  std::mt19937 engine(62);
  const ConvShape shape{40, 36, 3, 3, 3};
  const ConvCase<T, doubling> random(shape, {3, 5, 9}, engine);
  const Buffer<T> doubled(6 * 10 * 18 * 36), packed(conv_weight_elements(host, shape));
  const VideoView<T> doubled_view{doubled.data(), 6, 10, 18, 36};
  upsample_nearest(host, random.view(), doubled_view);
  const auto plain_weight = pack_conv_weight(host, random.layer.weight.vector(), shape, packed.vector());
  const auto plain = testing::poisoned<float>(6 * 10 * 18 * 40),
             ours = testing::poisoned<float>(plain.size());
  const auto bias = random.layer.bias.vector();
  causal_conv3d(host, doubled_view, plain_weight, bias, {}, Store{},
                VideoView<float>{plain.data(), 6, 10, 18, 40});
  causal_conv3d(host, random.view(), random.layer.packed(), bias, {}, Store{},
                VideoView<float>{ours.data(), 6, 10, 18, 40});
  const auto summed = oracle::convolve(
      oracle::pad(oracle::repeat(oracle::magnitudes(random.video()), 2, 2), {2, 0}, {1, 1}, {1, 1}),
      oracle::magnitudes(random.layer.weight), oracle::magnitudes(random.layer.bias), 40, {3, 3, 3},
      {1, 1, 1});
  testing::Budget budget = random.budget();
  budget.float_roundings =
      2 * budget.float_roundings + budget.element_roundings * std::ldexp(testing::half_unit<T>(1.0), 24);
  testing::check_each<float>(ours, std::vector<double>(plain.begin(), plain.end()), summed.values,
                             {.float_roundings = budget.float_roundings});
}

}  // namespace

BOOST_AUTO_TEST_CASE(doubled_videos_are_convolved_as_the_formula_says_in_float) {
  check_doubled_convolutions<float>(host, 3);
}
BOOST_AUTO_TEST_CASE(doubled_videos_are_convolved_as_the_formula_says_in_bf16) {
  check_doubled_convolutions<bf16>(host, 3);
}
BOOST_AUTO_TEST_CASE(doubled_frames_are_convolved_as_the_formula_says_in_float) {
  check_doubled_convolutions<float>(host, 1);
}
BOOST_AUTO_TEST_CASE(doubled_frames_are_convolved_as_the_formula_says_in_bf16) {
  check_doubled_convolutions<bf16>(host, 1);
}
BOOST_AUTO_TEST_CASE(it_agrees_with_the_convolution_of_the_doubled_video_in_float) {
  check_against_plain<float>();
}
BOOST_AUTO_TEST_CASE(it_agrees_with_the_convolution_of_the_doubled_video_in_bf16) {
  check_against_plain<bf16>();
}

BOOST_AUTO_TEST_CASE(weights_of_small_whole_numbers_give_the_very_same_bits) {
  // All sums are exact, so the two forms must agree at every border, whatever the order.
  std::mt19937 engine(63);
  const auto whole_numbers = [&](index_t size) {
    Buffer<bf16> values(size);
    for (bf16& value : values) value = bf16(static_cast<float>(random_int(engine, -4, 4)));
    return values;
  };
  for (const auto& [frames, height, width] :
       {std::array<index_t, 3>{1, 1, 1}, {1, 1, 2}, {2, 1, 1}, {3, 2, 1}, {2, 3, 50}}) {
    const ConvShape shape{5, 7, 3, 3, 3};
    const auto weight = whole_numbers(shape.elements()), bias = whole_numbers(5),
               in = whole_numbers(frames * height * width * 7);
    const VideoView<const bf16> view{in.data(), frames, height, width, 7};
    const Buffer<bf16> packed(conv_weight_elements<doubling>(host, shape));
    const auto out = testing::poisoned<float>(8 * frames * height * width * 5);
    causal_conv3d(host, view, pack_conv_weight<doubling>(host, weight.vector(), shape, packed.vector()),
                  bias.vector(), {}, Store{},
                  VideoView<float>{out.data(), 2 * frames, 2 * height, 2 * width, 5});
    const auto expected =
        oracle::convolve(oracle::pad(oracle::repeat(oracle::Video(view), 2, 2), {2, 0}, {1, 1}, {1, 1}),
                         weight, bias, 5, {3, 3, 3}, {1, 1, 1});
    BOOST_CHECK(std::equal(out.begin(), out.end(), expected.values.begin(), expected.values.end()));
  }
}

BOOST_AUTO_TEST_CASE(a_doubled_residual_reads_half_coordinates) {
  std::mt19937 engine(64);
  const auto values = testing::random_normal<float>(2 * 3 * 5 * 4, engine);
  const VideoView<const float> small{values.data(), 2, 3, 5, 4};
  const DoubledResidual<float> residual{small};
  residual.require_fits(8 * 30, 4);
  const auto doubled = oracle::repeat(oracle::Video(small), 2, 2);
  for (index_t row = 0; row < 8 * 30; ++row)
    for (index_t c = 0; c < 4; ++c)
      BOOST_CHECK_EQUAL(residual.row(row)(0.0f, c), doubled.values[static_cast<std::size_t>(row * 4 + c)]);
  testing::check_refused([&] { residual.require_fits(8 * 30, 5); },
                         {"the residual is (2, 3, 5, 4) before it is doubled", "(240, 5)"});
  testing::check_refused([&] { residual.require_fits(4 * 30, 4); }, {"an eighth of its pixels"});
}
