// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::VideoView<float> video, stepvideo::VectorView<float> weight) {
  const stepvideo::ConvShape shape{.out_channels = 8, .in_channels = 8, .kernel_frames = 3};
  causal_conv3d(execution, video, pack_conv_weight(execution, weight, shape, weight), weight, {},
                stepvideo::Store{}, video);
}
