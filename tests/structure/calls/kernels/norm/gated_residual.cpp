// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::TokensView<float> tokens, stepvideo::MatrixView<float> gate) {
  gated_residual(execution, tokens, gate, tokens, tokens);
}
