// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::VectorView<float> values, std::uint64_t* count,
          stepvideo::Workspace workspace) {
  count_non_finite<float>(execution, values, count, workspace);
}
