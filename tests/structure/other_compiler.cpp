// Built by a compiler other than the tests': everything that compiles without CUDA does, and what it makes of
// attention, RMSNorm and a convolution is what their formulas say.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include <stepvideo/stepvideo.hpp>

#include "oracle/attention.hpp"
#include "oracle/conv.hpp"
#include "oracle/rms_norm.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;

namespace {

/// Whether every element is within `bound` of what is expected, and says which is not. NaN is not.
template <class T>
bool agrees(const char* kernel, const Buffer<T>& actual, const std::vector<double>& expected, double bound) {
  for (index_t i = 0; i < actual.size(); ++i)
    if (!(std::abs(double(actual[i]) - expected[static_cast<std::size_t>(i)]) <= bound)) {
      std::printf("%s: element %td is %g, not %g\n", kernel, i, double(actual[i]),
                  expected[static_cast<std::size_t>(i)]);
      return false;
    }
  return actual.size() == static_cast<index_t>(expected.size());
}

/// Two heads share their keys; the second element of the batch sees 37 of 70.
template <class T>
bool attention_agrees(std::mt19937& engine, double bound) {
  constexpr index_t batch = 2, tokens = 70, heads = 4, shared = 2, dim = 72;
  const auto q = testing::random_normal<T>(batch * tokens * heads * dim, engine),
             k = testing::random_normal<T>(batch * tokens * shared * dim, engine),
             v = testing::random_normal<T>(batch * tokens * shared * dim, engine);
  const auto out = testing::poisoned<T>(q.size());
  const auto queries = HeadsView<const T>::dense(q.data(), batch, tokens, heads, dim),
             keys = HeadsView<const T>::dense(k.data(), batch, tokens, shared, dim),
             values = HeadsView<const T>::dense(v.data(), batch, tokens, shared, dim);
  const index_t lengths[] = {tokens, 37};
  attention(host, queries, keys, values, KeyPrefixMask{{lengths, batch}},
            HeadsView<T>::dense(out.data(), batch, tokens, heads, dim), {});
  const auto expected = oracle::attention<T>(
      queries, keys, values, 1 / std::sqrt(double(dim)),
      [&](index_t b, index_t, index_t key) { return key < lengths[b]; },
      [](index_t, index_t, index_t) { return 0.0; });
  return agrees("attention", out, expected.out, bound);
}

bool rms_norm_agrees(std::mt19937& engine) {
  constexpr index_t rows = 5, width = 83;
  const auto in = testing::random_normal<float>(rows * width, engine),
             weight = testing::random_normal<float>(width, engine);
  const auto out = testing::poisoned<float>(in.size());
  rms_norm(host, in.matrix(rows, width), weight.vector(), 1e-6f, out.matrix(rows, width));
  const auto expected = oracle::rms_norm<float>(HeadsView<const float>::dense(in.data(), 1, rows, 1, width),
                                                weight.data(), 1e-6);
  return agrees("rms_norm", out, expected.values, 1e-5);
}

bool causal_conv3d_agrees(std::mt19937& engine) {
  constexpr ConvShape shape{
      .out_channels = 19, .in_channels = 7, .kernel_frames = 3, .kernel_height = 3, .kernel_width = 3};
  constexpr index_t frames = 3, height = 5, width = 21;
  const auto weight = testing::random_normal<float>(shape.elements(), engine),
             bias = testing::random_normal<float>(shape.out_channels, engine),
             in = testing::random_normal<float>(frames * height * width * shape.in_channels, engine);
  const Buffer<float> room(conv_weight_elements(host, shape));
  const auto packed = pack_conv_weight(host, weight.vector(), shape, room.vector());
  const auto out = testing::poisoned<float>(frames * height * width * shape.out_channels);
  const VideoView<const float> video{in.data(), frames, height, width, shape.in_channels};
  causal_conv3d(host, video, packed, bias.vector(), {}, Store{},
                VideoView<float>{out.data(), frames, height, width, shape.out_channels});
  const auto expected = oracle::convolve(oracle::pad(oracle::Video(video), {2, 0}, {1, 1}, {1, 1}), weight,
                                         bias, shape.out_channels, {3, 3, 3}, {1, 1, 1});
  return agrees("causal_conv3d", out, expected.values, 1e-4);
}

}  // namespace

int main() {
  std::mt19937 engine(1);
  const bool all = attention_agrees<float>(engine, 1e-5) && attention_agrees<bf16>(engine, 2e-2) &&
                   rms_norm_agrees(engine) && causal_conv3d_agrees(engine);
  if (all) std::puts("attention, rms_norm and causal_conv3d agree with their formulas");
  return all ? 0 : 1;
}
