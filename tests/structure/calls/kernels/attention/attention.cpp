// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::HeadsView<float> heads) {
  attention(execution, heads, heads, heads, stepvideo::FullMask{}, heads, {.scale = 1.0f});
}
