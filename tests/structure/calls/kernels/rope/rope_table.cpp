// Compiled behind its header alone, which is all that its calls need.
auto call(EXECUTION execution) {
  return stepvideo::make_rope_table<float>(execution, {2, 3, 4}, {64, 32, 32});
}
