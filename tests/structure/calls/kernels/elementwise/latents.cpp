// Compiled behind its header alone, which is all that its calls need.
void call(EXECUTION execution, stepvideo::LatentsView<float> latents, stepvideo::TokensView<float> tokens) {
  latents_to_tokens(execution, latents, tokens);
}
