/* The C ABI from C: every call on the CPU against what its formula gives, and what is refused, in which
 * words. */
#include "abi.h"

int failures = 0;

static void devices_that_are_not_served_are_refused(void) {
  stepvideo_execution execution = {7, 0, NULL};
  float values[4] = {1, 2, 3, 4}, normed[4];
  stepvideo_tensor in = of_2(values, 1, 4), weight = of_1(values, 4), out = of_2(normed, 1, 4);
  poison(normed, 4);
  CHECK(is_refused(stepvideo_rms_norm(&execution, &in, &weight, 1e-6f, &out), "device 7 is none of"));
  execution.device = STEPVIDEO_CUDA;
  if (!stepvideo_serves_cuda())
    CHECK(is_refused(stepvideo_rms_norm(&execution, &in, &weight, 1e-6f, &out), "built without CUDA"));
  execution.ordinal = 4711; /* no machine has so many */
  CHECK(stepvideo_rms_norm(&execution, &in, &weight, 1e-6f, &out) != STEPVIDEO_OK &&
        strlen(stepvideo_last_error()) > 10);
  CHECK(all_poisoned(normed, 4));
  execution.device = STEPVIDEO_CPU;
  CHECK(stepvideo_rms_norm(&execution, &in, &weight, 1e-6f, &out) == STEPVIDEO_OK && normed[3] == normed[3]);
}

int main(void) {
  CHECK(strcmp(stepvideo_last_error(), "") == 0);
  CHECK(strcmp(stepvideo_version(), STEPVIDEO_EXPECTED_VERSION) == 0);
  attention_is_softmax_of_scores();
  fp8_attention_is_near_attention();
  norms_are_their_formulas();
  group_norm_is_its_formula();
  qk_norm_rope_norms_and_turns();
  causal_conv3d_sees_the_past_alone();
  devices_that_are_not_served_are_refused();
  printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
