/* Causal convolution against its formula. */
#include "abi.h"

void causal_conv3d_sees_the_past_alone(void) {
  enum { FRAMES = 3, HEIGHT = 4, WIDTH = 5, IN = 2, OUT = 3, TAPS = 27 };
  float in[FRAMES * HEIGHT * WIDTH * IN], weight[OUT * IN * TAPS], bias[OUT],
      out[FRAMES * HEIGHT * WIDTH * OUT];
  double sums_of[FRAMES * HEIGHT * WIDTH * OUT];
  const int count = FRAMES * HEIGHT * WIDTH * OUT;
  const int64_t shape[5] = {OUT, IN, 3, 3, 3};
  int f, y, x, o, i, t, r, s;
  stepvideo_conv_weight* packed = NULL;
  stepvideo_tensor weights = tensor_of(weight, STEPVIDEO_FP32, 5, shape),
                   ins = of_4(in, FRAMES, HEIGHT, WIDTH, IN), biases = of_1(bias, OUT),
                   outs = of_4(out, FRAMES, HEIGHT, WIDTH, OUT);
  fill(in, FRAMES * HEIGHT * WIDTH * IN, 10), fill(weight, OUT * IN * TAPS, 11), fill(bias, OUT, 12);
  for (f = 0; f < FRAMES; ++f)
    for (y = 0; y < HEIGHT; ++y)
      for (x = 0; x < WIDTH; ++x)
        for (o = 0; o < OUT; ++o) {
          double sum = (double)bias[o];
          for (t = 0; t < 3; ++t)
            for (r = 0; r < 3; ++r)
              for (s = 0; s < 3; ++s)
                for (i = 0; i < IN; ++i) {
                  const int frame = f + t - 2, row = y + r - 1, column = x + s - 1;
                  if (frame < 0 || row < 0 || row >= HEIGHT || column < 0 || column >= WIDTH) continue;
                  sum += (double)in[((frame * HEIGHT + row) * WIDTH + column) * IN + i] *
                         (double)weight[(o * IN + i) * TAPS + (t * 3 + r) * 3 + s];
                }
          sums_of[((f * HEIGHT + y) * WIDTH + x) * OUT + o] = sum;
        }
  CHECK(stepvideo_conv_weight_create(NULL, &weights, &packed) == STEPVIDEO_OK && packed != NULL);
  poison(out, count);
  CHECK(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 1, 0, &outs) == STEPVIDEO_OK);
  CHECK(all_near(out, sums_of, count, 1e-5));
  /* The first two frames as the past: the third alone comes out. */
  poison(out, count);
  outs.shape[0] = 1;
  CHECK(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 1, 2, &outs) == STEPVIDEO_OK);
  CHECK(all_near(out, sums_of + 2 * HEIGHT * WIDTH * OUT, HEIGHT * WIDTH * OUT, 1e-5) &&
        all_poisoned(out + HEIGHT * WIDTH * OUT, 2 * HEIGHT * WIDTH * OUT));

  poison(out, count);
  CHECK(is_refused(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 1, 0, &outs),
                   "out must be (3, 4, 5, 3)"));
  outs = of_4(out, FRAMES, HEIGHT, WIDTH, OUT);
  CHECK(
      is_refused(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 3, 0, &outs), "stride 3 is not built"));
  CHECK(is_refused(stepvideo_causal_conv3d(NULL, &ins, NULL, &biases, 1, 0, &outs),
                   "weight is a null pointer"));
  ins.element = STEPVIDEO_BF16;
  CHECK(is_refused(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 1, 0, &outs),
                   "they must be of one element"));
  ins = of_4(in, FRAMES, HEIGHT, WIDTH, IN), ins.strides[0] = 2 * HEIGHT * WIDTH * IN;
  CHECK(is_refused(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 1, 0, &outs), "it must be dense"));
  ins.strides[0] = HEIGHT * WIDTH * IN, biases.shape[0] = 2;
  CHECK(is_refused(stepvideo_causal_conv3d(NULL, &ins, packed, &biases, 1, 0, &outs), "bias has 2 elements"));
  CHECK(all_poisoned(out, count));
  stepvideo_conv_weight_destroy(packed);
  packed = NULL;
  weights.shape[2] = 2;
  CHECK(is_refused(stepvideo_conv_weight_create(NULL, &weights, &packed), "must be dense") && packed == NULL);
  weights = tensor_of(weight, STEPVIDEO_FP32, 4, shape);
  CHECK(is_refused(stepvideo_conv_weight_create(NULL, &weights, &packed), "it must be (out channels") &&
        packed == NULL);
  {
    const int64_t even[5] = {1, 1, 2, 3, 3};
    weights = tensor_of(weight, STEPVIDEO_FP32, 5, even);
    CHECK(is_refused(stepvideo_conv_weight_create(NULL, &weights, &packed), "kernels of 1 and 3 are built"));
  }
  stepvideo_conv_weight_destroy(NULL);
}
