// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::TokensView<float> tokens, stepvideo::MatrixView<float> scale) {
  layer_norm(execution, tokens, {.scale = scale, .shift = scale}, 1e-6f, tokens);
}
