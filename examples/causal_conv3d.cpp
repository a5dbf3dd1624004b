// A 3x3x3 convolution that is causal in time: no frame sees a later one, so a video can arrive frame by
// frame.
#include <cmath>
#include <cstdio>
#include <vector>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>

namespace sv = stepvideo;

int main() {
  constexpr sv::ConvShape shape{
      .out_channels = 8, .in_channels = 5, .kernel_frames = 3, .kernel_height = 3, .kernel_width = 3};
  constexpr sv::index_t frames = 4, height = 6, width = 7;
  std::vector<float> weight(shape.elements());  // (out, in, 3, 3, 3), as a checkpoint stores it
  std::vector<float> bias(shape.out_channels), input(frames * height * width * shape.in_channels);
  for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = std::sin(0.7f * static_cast<float>(i));
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = std::cos(0.3f * static_cast<float>(i));

  // Weights are repacked once, when a model is loaded.
  std::vector<float> packed(sv::conv_weight_elements(sv::host, shape));
  const auto packed_weight =
      sv::pack_conv_weight(sv::host, {weight.data(), shape.elements()}, shape,
                           sv::VectorView<float>{packed.data(), static_cast<sv::index_t>(packed.size())});

  const sv::VideoView<float> in{input.data(), frames, height, width, shape.in_channels};
  std::vector<float> result(frames * height * width * shape.out_channels);
  const sv::VideoView<float> out{result.data(), frames, height, width, shape.out_channels};
  const auto convolve = [&] {
    sv::causal_conv3d(sv::host, in, packed_weight, {bias.data(), shape.out_channels}, {}, sv::Store{}, out);
  };
  convolve();
  const float* pixel = out.pixel(2, 3, 4);
  std::printf("frame 2, row 3, column 4: %.5f %.5f %.5f %.5f\n", pixel[0], pixel[1], pixel[2], pixel[3]);

  for (float* value = in.pixel(3, 0, 0); value != input.data() + input.size(); ++value) *value = 100.0f;
  convolve();
  std::printf("with another frame 3:     %.5f %.5f %.5f %.5f\n", pixel[0], pixel[1], pixel[2], pixel[3]);
}
