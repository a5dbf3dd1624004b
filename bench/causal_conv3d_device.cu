// causal_conv3d at the video VAE's shapes: plain, and after a doubling, whose operations are those of the
// summed weights (8 of 27).
#include <cmath>
#include <string>

#include <stepvideo/kernels/conv/causal_conv3d.cuh>

#include "support/device_bench.cuh"

namespace stepvideo::bench {

namespace {

struct ConvRow {
  index_t in_channels, out_channels;
  index_t frames, height, width;  ///< of the result
};

template <ConvForm form, class Out, class EpilogueOf>
void measure(Report& report, const ConvRow& row, const std::string& kind, EpilogueOf&& epilogue_of) {
  const auto& [in_channels, out_channels, frames, height, width] = row;
  const int grown = form == ConvForm::plain ? 1 : 2;
  const ConvShape shape{out_channels, in_channels, 3, 3, 3};
  const VideoView<const bf16> in_shape{nullptr, frames / grown, height / grown, width / grown, in_channels};
  const VideoView<Out> out_shape{nullptr, frames, height, width, out_channels};
  const int taps = ConvPlaces<form>::weight(shape).taps();
  const RandomSets<bf16> in(in_shape.size());
  const RandomSets<bf16> weight(shape.elements(), 1 / std::sqrt(27.0f * static_cast<float>(in_channels)));
  const RandomSets<bf16> bias(out_channels);
  const Buffer<Out, Device> out(device, out_shape.size());
  fill_normal(device, 1, 0, 1.0f, out.vector());
  const Buffer<bf16, Device> packed(device, conv_weight_elements<form>(device, shape));
  const auto packed_weight = pack_conv_weight<form>(device, weight.at(0).vector(), shape, packed.vector());
  const auto with_data = [](auto view, auto* data) {
    view.data = data;
    return view;
  };
  const VideoView<Out> result = with_data(out_shape, out.data());
  const auto epilogue = epilogue_of(result);
  report.measure(
      {.name = "causal_conv3d" + kind + ", " + std::to_string(in_channels) + " to " +
               std::to_string(out_channels) + ", " + std::to_string(frames) + " x " + std::to_string(height) +
               " x " + std::to_string(width),
       .flops = 2.0 * taps * static_cast<double>(out_shape.size()) * static_cast<double>(in_channels),
       .bytes = static_cast<double>(in_shape.size()) * sizeof(bf16) +
                static_cast<double>(out_shape.size()) * sizeof(Out)},
      [&](int run) {
        causal_conv3d(device, with_data(in_shape, in.at(run).data()), packed_weight, bias.at(0).vector(), {},
                      epilogue, result);
      });
}

}  // namespace

void bench_causal_conv3d_device(Report& report) {
  const auto store = [](auto) { return Store{}; };
  for (const ConvRow& row :
       {ConvRow{512, 512, 20, 272, 496}, ConvRow{512, 512, 10, 136, 248}, ConvRow{256, 256, 20, 272, 496},
        ConvRow{512, 256, 20, 272, 496}, ConvRow{128, 128, 20, 544, 992}, ConvRow{256, 128, 20, 544, 992}})
    measure<ConvForm::plain, bf16>(report, row, ", bf16", store);
  measure<ConvForm::plain, float>(report, {128, 128, 20, 544, 992}, ", bf16 to a float residual",
                                  [](auto out) { return Residual<float>{out.rows()}; });
  measure<ConvForm::after_doubling, bf16>(report, {512, 512, 20, 272, 496}, " after a doubling, bf16", store);
  measure<ConvForm::plain, bf16>(report, {128, 3, 20, 544, 992}, ", bf16", store);
  measure<ConvForm::plain, bf16>(report, {3, 128, 17, 544, 992}, ", bf16", store);
}

}  // namespace stepvideo::bench
