// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::VectorView<float> times, stepvideo::MatrixView<float> out) {
  timestep_sinusoids(execution, times, out);
}
