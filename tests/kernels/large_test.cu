// Tensors of more than 2^31 elements. Each case runs where the GPU has the memory free.
#define BOOST_TEST_MODULE large_device
#include <algorithm>
#include <cmath>
#include <vector>

#include <stepvideo/kernels/elementwise/convert.cuh>
#include <stepvideo/kernels/elementwise/embed.cuh>
#include <stepvideo/kernels/elementwise/latents.cuh>
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>
#include <stepvideo/kernels/norm/gated_layer_norm.cuh>
#include <stepvideo/kernels/norm/gated_residual.cuh>
#include <stepvideo/kernels/norm/group_norm.cuh>
#include <stepvideo/kernels/norm/rms_norm.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>
#include <stepvideo/kernels/rope/rope.cuh>
#include <stepvideo/kernels/sampler/guided_step.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "kernels/far_rows_cases.hpp"
#include "oracle/group_norm.hpp"
#include "oracle/layer_norm.hpp"
#include "support/compare.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
using testing::NeedsDeviceBytes;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

using boost::unit_test::precondition;
constexpr std::size_t gigabyte = 1'000'000'000;
constexpr index_t many = (index_t{1} << 31) + 12'345'600;

/// Elements of the normal sequence `seed` from `first` on, as the host draws them.
Buffer<float> normal(std::uint64_t seed, index_t first, index_t count) {
  Buffer<float> values(count);
  fill_unit_normal(host, seed, static_cast<std::uint64_t>(first), values.vector());
  return values;
}
Buffer<float, Device> normal_on_device(std::uint64_t seed, index_t size) {
  Buffer<float, Device> values(device, size);
  fill_unit_normal(device, seed, 0, values.vector());
  return values;
}
template <class T>
Buffer<T> part(const Buffer<T, Device>& values, index_t first, index_t count) {
  Buffer<T> result(count);
  check(cudaMemcpy(result.data(), values.data() + first, result.size_bytes(), cudaMemcpyDefault));
  return result;
}
/// Visits runs of `count` elements at both ends and around 2^31 - 1 of 2^31.
template <class Visit>
void at_the_limits(index_t size, index_t count, Visit&& visit) {
  for (const index_t first : {index_t{0}, (index_t{1} << 31) / count * count - count,
                              (index_t{1} << 31) / count * count, size - count})
    visit(first);
}

}  // namespace

BOOST_AUTO_TEST_CASE(rows_far_apart_of_norms, *precondition(NeedsDeviceBytes{testing::far_rows_bytes})) {
  testing::far_rows_of_norms(device);
}
BOOST_AUTO_TEST_CASE(rows_far_apart_of_elementwise_kernels,
                     *precondition(NeedsDeviceBytes{testing::far_rows_bytes})) {
  testing::far_rows_of_elementwise_kernels(device);
}
BOOST_AUTO_TEST_CASE(rows_far_apart_of_rotations, *precondition(NeedsDeviceBytes{testing::far_rows_bytes})) {
  testing::far_rows_of_rotations(device);
}

BOOST_AUTO_TEST_CASE(noise, *precondition(NeedsDeviceBytes{10 * gigabyte})) {
  const auto values = normal_on_device(7, many);
  at_the_limits(many, 4096, [&](index_t first) {
    BOOST_CHECK(testing::same_bits(part(values, first, 4096), normal(7, first, 4096)));
  });
}

BOOST_AUTO_TEST_CASE(a_guided_step, *precondition(NeedsDeviceBytes{28 * gigabyte})) {
  const auto prompt = normal_on_device(1, many), negative = normal_on_device(2, many),
             latents = normal_on_device(3, many);
  guided_step(device, {.prompt = prompt.vector(), .negative = negative.vector()}, 9.0f, 0.03f,
              latents.vector());
  at_the_limits(many, 4096, [&](index_t first) {
    const auto c = normal(1, first, 4096), u = normal(2, first, 4096), before = normal(3, first, 4096);
    guided_step(host, {.prompt = c.vector(), .negative = u.vector()}, 9.0f, 0.03f, before.vector());
    // Both round the sum of a few values below 6, once each.
    testing::check_each<float>(part(latents, first, 4096), std::vector<double>(before.begin(), before.end()),
                               20.0);
  });
}

/// Rows of the model's width, beside one another.
BOOST_AUTO_TEST_CASE(dense_rows, *precondition(NeedsDeviceBytes{40 * gigabyte})) {
  constexpr index_t width = 6144, rows = many / width + 1;
  const Buffer<bf16, Device> in(device, rows * width), out(device, rows * width);
  const Buffer<fp8_e4m3, Device> values(device, rows * width);
  const Buffer<float, Device> scales(device, rows);
  fill_normal(device, 4, 0, 1.0f, in.vector());
  const auto view = [](const auto& buffer, index_t count) {
    return TokensView<std::remove_pointer_t<decltype(buffer.data())>>::dense(buffer.data(), 1, count, width);
  };
  layer_norm(device, view(in, rows), {}, 1e-5f, view(out, rows));
  at_the_limits(rows * width, width, [&](index_t first) {
    const auto of_row = part(in, first, width);
    testing::check_each<bf16>(
        part(out, first, width),
        oracle::layer_norm<bf16>(TokensView<const bf16>::dense(of_row.data(), 1, 1, width), 1e-5),
        {.float_roundings = 12});
  });
  convert(device, TokensView<const bf16>(view(in, rows)), view(out, rows));
  at_the_limits(rows * width, width, [&](index_t first) {
    BOOST_CHECK(testing::same_bits(part(out, first, width), part(in, first, width)));
  });
  quantize_rows(device, view(in, rows), ScaledTokensView{view(values, rows), scales.vector()});
  at_the_limits(rows * width, width, [&](index_t first) {
    const auto of_row = part(in, first, width);
    const Buffer<fp8_e4m3> expected(width);
    const Buffer<float> scale(1);
    quantize_rows(host, view(of_row, 1), ScaledTokensView{view(expected, 1), scale.vector()});
    BOOST_CHECK(testing::same_bits(part(values, first, width), expected));
    BOOST_CHECK(testing::same_bits(part(scales, first / width, 1), scale));
  });
}

/// To tokens and back, and each token where it belongs.
BOOST_AUTO_TEST_CASE(latents, *precondition(NeedsDeviceBytes{28 * gigabyte})) {
  const LatentShape shape{40'000, 34, 31};
  constexpr index_t channels = 64;
  const index_t plane = index_t{shape.height} * shape.width, size = shape.tokens() * channels;
  BOOST_REQUIRE_GT(size, index_t{1} << 31);
  const auto values = normal_on_device(5, size);
  const Buffer<float, Device> tokens(device, size), back(device, size);
  const auto view = TokensView<float>::dense(tokens.data(), 1, shape.tokens(), channels);
  latents_to_tokens(device, LatentsView<const float>{values.data(), 1, channels, shape}, view);
  tokens_to_latents(device, TokensView<const float>(view),
                    LatentsView<float>{back.data(), 1, channels, shape});
  at_the_limits(size, channels, [&](index_t first) {
    const index_t token = first / channels, frame = token / plane, pixel = token % plane;
    const auto of_token = part(tokens, first, channels);
    for (index_t c = 0; c < channels; ++c)
      BOOST_CHECK_EQUAL(of_token[c],
                        unit_normal(5, static_cast<std::uint64_t>((frame * channels + c) * plane + pixel)));
    BOOST_CHECK(testing::same_bits(part(back, first, channels), normal(5, first, channels)));
  });
}

/// In the video's own place; more frames than a grid has blocks in y.
BOOST_AUTO_TEST_CASE(group_norm_of_many_frames, *precondition(NeedsDeviceBytes{12 * gigabyte})) {
  constexpr index_t channels = 512, frame = 8 * 8 * channels, frames = 70'000;
  const Buffer<bf16, Device> values(device, frames * frame);
  static_assert(frames * frame > index_t{1} << 31);
  fill_normal(device, 6, 0, 1.0f, values.vector());
  const VideoView<bf16> video{values.data(), frames, 8, 8, channels};
  Buffer<bf16> weight(channels), bias(channels);
  fill_normal(host, 8, 0, 1.0f, weight.vector()), fill_normal(host, 9, 0, 1.0f, bias.vector());
  const auto placed_weight = testing::to_device(weight), placed_bias = testing::to_device(bias);
  const Buffer<std::byte, Device> room(device, static_cast<index_t>(group_norm_workspace(device, video)));
  group_norm(device, video, placed_weight.vector(), placed_bias.vector(), 32, 1e-5f, Store{}, video,
             Workspace(room));
  at_the_limits(frames * frame, frame, [&](index_t first) {
    Buffer<bf16> before(frame);
    fill_normal(host, 6, static_cast<std::uint64_t>(first), 1.0f, before.vector());
    testing::check_each<bf16>(
        part(values, first, frame),
        oracle::group_norm<bf16>(VideoView<const bf16>{before.data(), 1, 8, 8, channels}, weight, bias, 32,
                                 1e-5),
        {.float_roundings = 8});
  });
}
