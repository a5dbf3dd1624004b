// Moments that a convolution leaves, and the GroupNorm that takes them.
#define BOOST_TEST_MODULE conv_moments
#include <stepvideo/kernels/conv/causal_conv3d.cuh>
#include <stepvideo/kernels/norm/group_norm.cuh>

#include "kernels/conv/conv_layer.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

constexpr index_t groups = 32;

/// Of each frame and group, in double.
std::vector<PartMoments> joined(const Buffer<PartMoments>& parts, const PartMomentsView& of) {
  std::vector<PartMoments> result;
  for (index_t frame = 0; frame < of.frames; ++frame)
    for (index_t unit = 0; unit < of.units; ++unit) {
      double count = 0, mean = 0, deviations = 0;
      const auto each = [&](auto&& visit) {
        for (index_t part = 0; part < of.parts; ++part)
          visit(parts[(frame * of.parts + part) * of.units + unit]);
      };
      each([&](const PartMoments& part) { count += part.count, mean += double(part.count) * part.mean; });
      mean /= count;
      each([&](const PartMoments& part) {
        deviations += part.deviations + double(part.count) * (part.mean - mean) * (part.mean - mean);
      });
      result.push_back({float(count), float(mean), float(deviations)});
    }
  return result;
}

template <ConvForm form>
void check_moments(index_t out_channels, index_t in_channels, const std::array<index_t, 3>& extents,
                   float bias_mean) {
  std::mt19937 engine(41);
  const index_t grown = form == ConvForm::plain ? 1 : 2;
  ConvCase<bf16, form> random({out_channels, in_channels, 3, 3, 3}, extents, engine);
  for (bf16& bias : random.layer.bias) bias = bf16(float(bias) + bias_mean);
  const PlacedConvLayer<bf16, form, Device> layer(device, random.layer);
  const auto in = to_device(random.in);
  const VideoView<const bf16> view{in.data(), extents[0], extents[1], extents[2], in_channels};
  const index_t size = grown * grown * grown * view.pixels() * out_channels;
  const auto out = to_device(poisoned<float>(size)), alone = to_device(poisoned<float>(size));
  const auto video = [&](auto* data) {
    return VideoView<std::remove_pointer_t<decltype(data)>>{data, grown * extents[0], grown * extents[1],
                                                            grown * extents[2], out_channels};
  };
  PartMomentsView moments =
      conv_moments(device, view, layer.packed, ConvOptions{}, Store{}, video(out.data()), groups);
  if (kernel_gpu().compute_capability / 10 != 9) {
    BOOST_CHECK_EQUAL(moments.parts, 0);
    return;
  }
  BOOST_REQUIRE_GT(moments.parts, 0);
  const Buffer<PartMoments, Device> parts(device, moments.size());
  check(cudaMemset(parts.data(), 0xFF, parts.size_bytes()));  // NaN
  moments.data = parts.data();
  causal_conv3d(device, view, layer.packed, layer.bias.vector(), {}, Store{}, video(out.data()), moments);
  causal_conv3d(device, view, layer.packed, layer.bias.vector(), {}, Store{}, video(alone.data()));
  const auto results = to_host(out);
  BOOST_CHECK(same_bits(results, to_host(alone)));

  const auto found = joined(to_host(parts), moments);
  const index_t frame_pixels = grown * grown * extents[1] * extents[2], group = out_channels / groups;
  for (index_t frame = 0; frame < grown * extents[0]; ++frame)
    for (index_t unit = 0; unit < groups; ++unit) {
      double mean = 0, deviations = 0;
      const auto each = [&](auto&& visit) {
        for (index_t pixel = 0; pixel < frame_pixels; ++pixel)
          for (index_t c = 0; c < group; ++c)
            visit(double(results[(frame * frame_pixels + pixel) * out_channels + unit * group + c]));
      };
      const double count = static_cast<double>(frame_pixels * group);
      each([&](double value) { mean += value / count; });
      each([&](double value) { deviations += (value - mean) * (value - mean); });
      const PartMoments& of = found[static_cast<std::size_t>(frame * groups + unit)];
      BOOST_CHECK_EQUAL(of.count, float(count));
      const double deviation = std::sqrt(deviations / count);
      BOOST_CHECK_SMALL(of.mean - mean, 1e-5 * (deviation + std::abs(mean) * 0.05));
      BOOST_CHECK_CLOSE_FRACTION(of.deviations, deviations, 1e-4);
    }

  // The norm of the same values, with moments made by itself.
  const auto weight = to_device(random_normal<bf16>(out_channels, engine)),
             shift = to_device(random_normal<bf16>(out_channels, engine));
  const Buffer<std::byte, Device> workspace(
      device, static_cast<index_t>(group_norm_workspace(device, video(out.data()))));
  const auto normalized = [&](const PartMomentsView& given) {
    const auto target = to_device(poisoned<float>(size));
    group_norm(device, video(out.data()), weight.vector(), shift.vector(), groups, 1e-5f, Store{},
               video(target.data()), Workspace(workspace), given);
    return to_host(target);
  };
  const auto expected = normalized({}), actual = normalized(moments);
  double worst = 0;
  for (index_t i = 0; i < size; ++i) {
    const double difference = std::abs(double(actual[i]) - double(expected[i]));
    worst = std::max(worst, std::isfinite(difference) ? difference : 1e9);
  }
  BOOST_CHECK_LT(worst, 1e-4);
}

}  // namespace

BOOST_AUTO_TEST_CASE(parts_join_to_the_moments_of_each_frame_and_group) {
  check_moments<ConvForm::plain>(128, 64, {3, 17, 35}, 0);
  check_moments<ConvForm::plain>(256, 128, {2, 33, 40}, 0);
  check_moments<ConvForm::plain>(512, 64, {2, 9, 62}, 0);
  check_moments<ConvForm::after_doubling>(256, 64, {2, 9, 17}, 0);
}
BOOST_AUTO_TEST_CASE(means_far_from_zero_keep_their_digits) {
  check_moments<ConvForm::plain>(128, 64, {2, 17, 35}, 4000);
}
BOOST_AUTO_TEST_CASE(moments_that_are_not_left_are_refused) {
  const Buffer<bf16, Device> memory(device, 4096);
  const PackedConvWeight<bf16, Device> weight({3, 8, 1, 1, 1}, device_conv_order, memory.data());
  const VideoView<const bf16> in{memory.data(), 1, 2, 2, 8};
  const VideoView<bf16> out{memory.data() + 2048, 1, 2, 2, 3};
  PartMoments somewhere{};
  check_refused(
      [&] {
        causal_conv3d(device, in, weight, {memory.data(), 3}, {}, Store{}, out,
                      PartMomentsView{&somewhere, 1, 1, 1});
      },
      {"causal_conv3d", "moments"});
}
