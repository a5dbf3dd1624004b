// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::VideoView<float> video, stepvideo::VectorView<float> weight,
          stepvideo::Workspace workspace) {
  group_norm(execution, video, weight, weight, 32, 1e-6f, stepvideo::Store{}, video, workspace);
}
