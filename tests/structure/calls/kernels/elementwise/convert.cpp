// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::TokensView<float> in, stepvideo::TokensView<stepvideo::bf16> out) {
  convert(execution, in, out, stepvideo::Silu{});
}
