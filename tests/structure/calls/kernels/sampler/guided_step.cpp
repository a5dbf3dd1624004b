// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::VectorView<float> velocity, stepvideo::VectorView<float> latents) {
  const stepvideo::FlowSchedule schedule(50, 13.0f);
  guided_step(execution, {.prompt = velocity, .negative = velocity}, 9.0f, schedule.step_size(0), latents);
}
