// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::MatrixView<float> matrix, stepvideo::VectorView<const float> bias) {
  linear(execution, matrix, matrix, stepvideo::Bias<float>{bias}, matrix, {.planned_rows = 8});
}
