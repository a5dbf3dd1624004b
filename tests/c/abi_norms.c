/* Norms, QK-norm and rotary embedding against their formulas. */
#include "abi.h"

void norms_are_their_formulas(void) {
  enum { BATCH = 2, TOKENS = 3, WIDTH = 10 };
  float in[BATCH * TOKENS * WIDTH], weight[WIDTH], bias[WIDTH], scale[BATCH * WIDTH], shift[BATCH * WIDTH],
      normed[BATCH * TOKENS * WIDTH];
  double rms[BATCH * TOKENS * WIDTH], layer[BATCH * TOKENS * WIDTH];
  const int count = BATCH * TOKENS * WIDTH;
  int row, c;
  stepvideo_tensor ins = of_3(in, BATCH, TOKENS, WIDTH), weights = of_1(weight, WIDTH),
                   biases = of_1(bias, WIDTH), scales = of_2(scale, BATCH, WIDTH),
                   shifts = of_2(shift, BATCH, WIDTH), outs = of_3(normed, BATCH, TOKENS, WIDTH);
  fill(in, count, 4), fill(weight, WIDTH, 5), fill(bias, WIDTH, 6), fill(scale, BATCH * WIDTH, 7),
      fill(shift, BATCH * WIDTH, 8);
  for (row = 0; row < BATCH * TOKENS; ++row) {
    const int b = row / TOKENS;
    double squares = 0, mean = 0, variance = 0;
    for (c = 0; c < WIDTH; ++c)
      squares += pow((double)in[row * WIDTH + c], 2), mean += (double)in[row * WIDTH + c];
    mean /= WIDTH;
    for (c = 0; c < WIDTH; ++c) variance += pow((double)in[row * WIDTH + c] - mean, 2) / WIDTH;
    for (c = 0; c < WIDTH; ++c) {
      const double x = (double)in[row * WIDTH + c];
      rms[row * WIDTH + c] = x / sqrt(squares / WIDTH + 1e-6) * (double)weight[c];
      layer[row * WIDTH + c] = ((x - mean) / sqrt(variance + 1e-6) * (double)weight[c] + (double)bias[c]) *
                                   (1 + (double)scale[b * WIDTH + c]) +
                               (double)shift[b * WIDTH + c];
    }
  }
  poison(normed, count);
  CHECK(stepvideo_rms_norm(NULL, &ins, &weights, 1e-6f, &outs) == STEPVIDEO_OK);
  CHECK(all_near(normed, rms, count, 1e-5));
  poison(normed, count);
  CHECK(stepvideo_layer_norm(NULL, &ins, &weights, &biases, &scales, &shifts, 1e-6f, &outs) == STEPVIDEO_OK);
  CHECK(all_near(normed, layer, count, 1e-5));

  poison(normed, count);
  CHECK(is_refused(stepvideo_layer_norm(NULL, &ins, &weights, NULL, NULL, NULL, 1e-6f, &outs),
                   "weight and bias come together"));
  weights.shape[0] = WIDTH - 1;
  CHECK(is_refused(stepvideo_rms_norm(NULL, &ins, &weights, 1e-6f, &outs),
                   "weight has 9 elements and a row has 10"));
  CHECK(is_refused(stepvideo_rms_norm(NULL, &ins, &weights, 1e-6f, NULL), "out is a null pointer"));
  weights.shape[0] = WIDTH, outs.shape[1] = TOKENS - 1;
  CHECK(is_refused(stepvideo_rms_norm(NULL, &ins, &weights, 1e-6f, &outs), "they must have the same shape"));
  CHECK(all_poisoned(normed, count));
}

void group_norm_is_its_formula(void) {
  /* Two frames of two pixels, four channels in two groups. */
  enum { FRAMES = 2, PIXELS = 2, CHANNELS = 4, COUNT = FRAMES * PIXELS * CHANNELS };
  float in[COUNT], weight[CHANNELS], bias[CHANNELS], normed[COUNT];
  double plain[COUNT], silu[COUNT];
  int f, g, p, c;
  size_t bytes = 7;
  stepvideo_tensor ins = of_4(in, FRAMES, 1, PIXELS, CHANNELS), weights = of_1(weight, CHANNELS),
                   biases = of_1(bias, CHANNELS), outs = of_4(normed, FRAMES, 1, PIXELS, CHANNELS);
  fill(in, COUNT, 13), fill(weight, CHANNELS, 14), fill(bias, CHANNELS, 15);
  for (f = 0; f < FRAMES; ++f)
    for (g = 0; g < 2; ++g) {
      double mean = 0, variance = 0;
      for (p = 0; p < PIXELS; ++p)
        for (c = 2 * g; c < 2 * g + 2; ++c) mean += (double)in[(f * PIXELS + p) * CHANNELS + c] / 4;
      for (p = 0; p < PIXELS; ++p)
        for (c = 2 * g; c < 2 * g + 2; ++c)
          variance += pow((double)in[(f * PIXELS + p) * CHANNELS + c] - mean, 2) / 4;
      for (p = 0; p < PIXELS; ++p)
        for (c = 2 * g; c < 2 * g + 2; ++c) {
          const int at = (f * PIXELS + p) * CHANNELS + c;
          plain[at] = ((double)in[at] - mean) / sqrt(variance + 1e-6) * (double)weight[c] + (double)bias[c];
          silu[at] = plain[at] / (1 + exp(-plain[at]));
        }
    }
  CHECK(stepvideo_group_norm_workspace(NULL, &ins, &bytes) == STEPVIDEO_OK && bytes == 0);
  poison(normed, COUNT);
  CHECK(stepvideo_group_norm(NULL, &ins, &weights, &biases, 2, 1e-6f, STEPVIDEO_NO_ACTIVATION, NULL, 0,
                             &outs) == STEPVIDEO_OK);
  CHECK(all_near(normed, plain, COUNT, 1e-5));
  poison(normed, COUNT);
  CHECK(stepvideo_group_norm(NULL, &ins, &weights, &biases, 2, 1e-6f, STEPVIDEO_SILU, NULL, 0, &outs) ==
        STEPVIDEO_OK);
  CHECK(all_near(normed, silu, COUNT, 1e-5));
  poison(normed, COUNT);
  CHECK(is_refused(stepvideo_group_norm(NULL, &ins, &weights, &biases, 3, 1e-6f, 0, NULL, 0, &outs),
                   "4 channels in 3 groups"));
  CHECK(is_refused(stepvideo_group_norm(NULL, &ins, &weights, &biases, 2, 1e-6f, 5, NULL, 0, &outs),
                   "activation 5 is none"));
  CHECK(is_refused(stepvideo_group_norm_workspace(NULL, &ins, NULL), "bytes is a null pointer"));
  CHECK(all_poisoned(normed, COUNT));
}

void qk_norm_rope_norms_and_turns(void) {
  /* One head of 8 channels at the tokens (0, 0, 0) and (0, 0, 1): the second turns the last pair by one
   * radian. */
  enum { TOKENS = 2, PACKED = 24 };
  float packed[TOKENS * PACKED], ones[8], queries[TOKENS * 8], keys[TOKENS * 8], values[TOKENS * 8];
  double turned[2][TOKENS * 8], copied[TOKENS * 8];
  int token, part, c;
  stepvideo_rope_table* table = NULL;
  stepvideo_tensor packeds = of_4(packed, 1, TOKENS, 1, PACKED), weight = of_1(ones, 8),
                   query = of_4(queries, 1, TOKENS, 1, 8), key = of_4(keys, 1, TOKENS, 1, 8),
                   value = of_4(values, 1, TOKENS, 1, 8);
  fill(packed, TOKENS * PACKED, 9);
  for (c = 0; c < 8; ++c) ones[c] = 1;
  for (token = 0; token < TOKENS; ++token)
    for (part = 0; part < 3; ++part) {
      const float* from = packed + token * PACKED + part * 8;
      double squares = 0, *to = part == 2 ? copied + token * 8 : turned[part] + token * 8, first, second;
      for (c = 0; c < 8; ++c) squares += pow((double)from[c], 2) / 8;
      for (c = 0; c < 8; ++c) to[c] = part == 2 ? (double)from[c] : (double)from[c] / sqrt(squares + 1e-6);
      if (part == 2) continue;
      first = to[6], second = to[7];
      to[6] = first * cos(token) - second * sin(token), to[7] = second * cos(token) + first * sin(token);
    }
  CHECK(stepvideo_rope_table_create(NULL, 1, 1, TOKENS, 4, 2, 2, &table) == STEPVIDEO_OK && table != NULL);
  poison(queries, TOKENS * 8), poison(keys, TOKENS * 8), poison(values, TOKENS * 8);
  CHECK(stepvideo_qk_norm_rope(NULL, &packeds, &weight, &weight, 1e-6f, table, 0, &query, &key, &value) ==
        STEPVIDEO_OK);
  CHECK(all_near(queries, turned[0], TOKENS * 8, 1e-5) && all_near(keys, turned[1], TOKENS * 8, 1e-5) &&
        all_near(values, copied, TOKENS * 8, 0));
  poison(queries, TOKENS * 8), poison(keys, TOKENS * 8), poison(values, TOKENS * 8);
  CHECK(stepvideo_qk_norm_rope(NULL, &packeds, &weight, &weight, 1e-6f, table, 0, &query, &key, NULL) ==
        STEPVIDEO_OK);
  CHECK(all_near(queries, turned[0], TOKENS * 8, 1e-5) && all_poisoned(values, TOKENS * 8));

  poison(queries, TOKENS * 8);
  CHECK(is_refused(
      stepvideo_qk_norm_rope(NULL, &packeds, &weight, &weight, 1e-6f, table, 1, &query, &key, NULL),
      "tokens 1 to 3 are asked of a table for 2"));
  CHECK(is_refused(
      stepvideo_qk_norm_rope(NULL, &packeds, &weight, &weight, 1e-6f, table, -1, &query, &key, NULL),
      "tokens -1 to 1"));
  CHECK(
      is_refused(stepvideo_qk_norm_rope(NULL, &packeds, &weight, &weight, 1e-6f, NULL, 0, &query, &key, NULL),
                 "table is a null pointer"));
  CHECK(all_poisoned(queries, TOKENS * 8));
  stepvideo_rope_table_destroy(table);
  table = NULL;
  CHECK(
      is_refused(stepvideo_rope_table_create(NULL, 1, 1, 2, 3, 2, 2, &table), "does not cover a head of 7") &&
      table == NULL);
  CHECK(is_refused(stepvideo_rope_table_create(NULL, 0, 1, 2, 4, 2, 2, &table), "1 to 1048576 work") &&
        table == NULL);
  CHECK(is_refused(stepvideo_rope_table_create(NULL, 1, 1, 2, 4, 2, 2, NULL), "table is a null pointer"));
  stepvideo_rope_table_destroy(NULL);
}
