// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::HeadsView<float> heads) {
  merge_attention(execution, heads, heads, heads, heads);
}
