// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::HeadsView<float> heads) {
  rope3d(execution, heads, stepvideo::make_rope_table<float>(execution, {2, 3, 4}, {64, 32, 32}).view());
}
