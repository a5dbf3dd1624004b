// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::HeadsView<float> heads, const stepvideo::QkNorm<float>& norm) {
  const auto table = stepvideo::make_rope_table<float>(execution, {2, 3, 4}, {64, 32, 32});
  qk_norm_rope(execution, heads, norm, table.view(),
               stepvideo::QkvOutput<float>{.queries = heads, .keys = heads});
}
