// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::TokensView<float> in, stepvideo::ScaledTokensView out) {
  quantize_rows(execution, in, out);
}
