// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::HeadsView<stepvideo::bf16> heads, stepvideo::Workspace workspace) {
  fp8_attention(execution, heads, heads, heads, stepvideo::CausalMask{}, heads, {}, {}, workspace);
}
