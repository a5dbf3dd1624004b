// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::MatrixView<float> rows, stepvideo::VectorView<float> weight) {
  rms_norm(execution, rows, weight, 1e-6f, rows);
}
