// Convolutions whose input and weight are fp8.
#define BOOST_TEST_MODULE fp8_conv_device
#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/conv/causal_conv3d.cuh>
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>

#include "kernels/conv/conv_formula.cuh"
#include "support/device.cuh"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

bool is_hopper() {
  return kernel_gpu().compute_capability / 10 == 9;
}

/// A layer of random fp8, its scales and biases, and an input.
struct Fp8Case {
  ConvShape shape;
  std::array<index_t, 3> extents;
  Buffer<fp8_e4m3, Device> weight, packed_elements, in;
  Buffer<float, Device> scales;
  Buffer<bf16, Device> bias;
  PackedConvWeight<fp8_e4m3, Device> packed;

  Fp8Case(const ConvShape& of, const std::array<index_t, 3>& in_extents, std::mt19937& engine)
      : shape(of),
        extents(in_extents),
        weight(to_device(random_normal<fp8_e4m3>(of.elements(), engine, 20))),
        packed_elements(device, conv_weight_elements(device, of)),
        in(to_device(random_normal<fp8_e4m3>(in_extents[0] * in_extents[1] * in_extents[2] * of.in_channels,
                                             engine, 4))),
        scales(to_device(random_normal<float>(of.out_channels, engine, 0.01f))),
        bias(to_device(random_normal<bf16>(of.out_channels, engine))),
        packed(pack_conv_weight(device, weight.vector(), of, packed_elements.vector())) {}

  index_t out_size() const { return extents[0] * extents[1] * extents[2] * shape.out_channels; }
  template <class T>
  VideoView<T> video(T* data, index_t channels) const {
    return {data, extents[0], extents[1], extents[2], channels};
  }
  VideoView<const fp8_e4m3> input() const { return video<const fp8_e4m3>(in.data(), shape.in_channels); }
  ScaleAndBias<bf16> finish() const { return {scales.vector(), bias.vector()}; }
};

/// Every element against the formula. Tensor cores keep about 14 bits of a sum while they add fp8 products: of
/// 13,824 terms the worst was 5e-4 of their magnitudes off.
void check(const ConvShape& shape, const std::array<index_t, 3>& extents) {
  std::mt19937 engine(51);
  const Fp8Case of(shape, extents, engine);
  const index_t size = of.out_size();
  const Buffer<double, Device> values(device, size), summed(device, size);
  launch({.grid = 1024, .block = 256}, formula_kernel<fp8_e4m3>,
         FormulaParams<fp8_e4m3>{of.input(), of.weight.data(), nullptr, shape.kernel_frames, 1,
                                 of.video(values.data(), shape.out_channels),
                                 of.video(summed.data(), shape.out_channels)});
  const auto residual = to_device(random_normal<float>(size, engine));
  const auto out = to_device(poisoned<float>(size));
  const MatrixView<const float> rows{residual.data(), size / shape.out_channels, shape.out_channels,
                                     shape.out_channels};
  causal_conv3d(device, of.input(), of.packed, {}, {}, chain(of.finish(), Residual<float>{rows}),
                of.video(out.data(), shape.out_channels));
  const auto got = to_host(out);
  const auto expected = to_host(values), magnitudes = to_host(summed);
  const auto added = to_host(residual), scales = to_host(of.scales);
  const auto bias = to_host(of.bias);
  double worst = 0, squares = 0, of_errors = 0;
  index_t wrong = 0;
  for (index_t i = 0; i < size; ++i) {
    const index_t c = i % shape.out_channels;
    const double wanted = expected[i] * scales[c] + float(bias[c]) + added[i];
    const double error = std::abs(double(got[i]) - wanted), unit = magnitudes[i] * std::abs(scales[c]);
    const double bound = 8e-4 * unit + 1e-6 * std::abs(wanted);
    if (!(error <= bound)) ++wrong;
    worst = std::max(worst, unit > 0 ? error / unit : 0);
    squares += expected[i] * expected[i] * scales[c] * scales[c], of_errors += error * error;
  }
  BOOST_TEST_CONTEXT(shape.out_channels << " of " << shape.in_channels << " channels") {
    BOOST_CHECK_EQUAL(wrong, 0);
    BOOST_CHECK_LT(std::sqrt(of_errors / squares), 4e-3);
    BOOST_TEST_MESSAGE("error " << std::sqrt(of_errors / squares)
                                << " of the products' root mean square; worst " << worst
                                << " of the terms' magnitudes");
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(they_agree_with_the_formula) {
  if (!is_hopper()) return;
  check({128, 128, 3, 3, 3}, {4, 40, 35});
  check({512, 512, 3, 3, 3}, {2, 17, 31});
  check({256, 512, 3, 3, 3}, {2, 34, 62});
  check({48, 32, 3, 3, 3}, {3, 19, 23});
  check({40, 16, 3, 3, 3}, {2, 9, 40});
  check({96, 144, 1, 1, 1}, {2, 11, 13});
}

BOOST_AUTO_TEST_CASE(runs_of_frames_behind_their_past_get_the_bits_of_the_whole_and_the_same_moments) {
  if (!is_hopper()) return;
  std::mt19937 engine(52);
  const Fp8Case of({128, 64, 3, 3, 3}, {5, 18, 21}, engine);
  const auto whole = to_device(poisoned<bf16>(of.out_size())),
             parts = to_device(poisoned<bf16>(of.out_size()));
  const auto out = of.video(whole.data(), 128), in_runs = of.video(parts.data(), 128);
  auto moments = conv_moments(device, of.input(), of.packed, {}, of.finish(), out, 32);
  BOOST_REQUIRE_GT(moments.size(), 0);
  const Buffer<PartMoments, Device> left(device, moments.size());
  moments.data = left.data();
  causal_conv3d(device, of.input(), of.packed, {}, {}, of.finish(), out, moments);
  for (index_t first = 0; first < 5; first += 2) {
    const index_t past = std::min<index_t>(first, 2), count = std::min<index_t>(2, 5 - first);
    causal_conv3d(device, of.input().frames_from(first - past, past + count), of.packed, {},
                  {.past_frames = static_cast<int>(past)}, of.finish(), in_runs.frames_from(first, count));
  }
  BOOST_CHECK(same_bits(to_host(whole), to_host(parts)));
  double count = 0, sum = 0, of_values = 0;
  for (const PartMoments& part : to_host(left)) count += part.count, sum += double(part.count) * part.mean;
  for (const bf16 value : to_host(whole)) of_values += float(value);
  BOOST_CHECK_EQUAL(count, double(of.out_size()));
  BOOST_CHECK_SMALL((sum - of_values) / double(of.out_size()), 1e-3);
}

BOOST_AUTO_TEST_CASE(what_fp8_does_not_serve_is_refused) {
  std::mt19937 engine(53);
  const Fp8Case of({32, 24, 3, 3, 3}, {2, 5, 6}, engine);
  const auto out = to_device(poisoned<bf16>(of.out_size()));
  check_refused(
      [&] { causal_conv3d(device, of.input(), of.packed, {}, {}, of.finish(), of.video(out.data(), 32)); },
      "no kernel");
  const Buffer<fp8_e4m3, Device> bias(device, 32);
  check_refused(
      [&] {
        causal_conv3d(device, of.input(), of.packed, bias.vector(), {}, of.finish(),
                      of.video(out.data(), 32));
      },
      "ScaleAndBias");
}
