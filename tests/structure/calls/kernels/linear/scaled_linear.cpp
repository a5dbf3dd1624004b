// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, const stepvideo::ScaledRows& rows, stepvideo::MatrixView<float> out) {
  linear(execution, rows, rows, stepvideo::Store{}, out);
}
