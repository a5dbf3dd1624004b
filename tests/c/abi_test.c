/* The C ABI from C: every call on the CPU against what its formula gives, and what is refused, in which
 * words. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stepvideo_c.h"

static int failures = 0;

#define CHECK(fact)                                                                    \
  do {                                                                                 \
    if (!(fact)) {                                                                     \
      printf("FAILED at line %d: %s (%s)\n", __LINE__, #fact, stepvideo_last_error()); \
      ++failures;                                                                      \
    }                                                                                  \
  } while (0)

static stepvideo_tensor tensor_of(void* data, int element, int rank, const int64_t* shape) {
  stepvideo_tensor tensor;
  int64_t stride = 1;
  int i;
  memset(&tensor, 0, sizeof tensor);
  tensor.data = data, tensor.element = element, tensor.rank = rank;
  for (i = rank - 1; i >= 0; --i) tensor.shape[i] = shape[i], tensor.strides[i] = stride, stride *= shape[i];
  return tensor;
}

static stepvideo_tensor of_4(float* data, int64_t a, int64_t b, int64_t c, int64_t d) {
  int64_t shape[4];
  shape[0] = a, shape[1] = b, shape[2] = c, shape[3] = d;
  return tensor_of(data, STEPVIDEO_FP32, 4, shape);
}

static stepvideo_tensor of_3(float* data, int64_t a, int64_t b, int64_t c) {
  int64_t shape[3];
  shape[0] = a, shape[1] = b, shape[2] = c;
  return tensor_of(data, STEPVIDEO_FP32, 3, shape);
}

static stepvideo_tensor of_2(float* data, int64_t a, int64_t b) {
  int64_t shape[2];
  shape[0] = a, shape[1] = b;
  return tensor_of(data, STEPVIDEO_FP32, 2, shape);
}

static stepvideo_tensor of_1(float* data, int64_t a) {
  return tensor_of(data, STEPVIDEO_FP32, 1, &a);
}

/* Numbers from -1 to 1 that look random, the same every time. */
static void fill(float* values, int count, unsigned seed) {
  int i;
  for (i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
  }
}

static void poison(float* values, int count) {
  int i;
  for (i = 0; i < count; ++i) values[i] = NAN;
}

static int all_near(const float* values, const double* expected, int count, double bound) {
  int i;
  for (i = 0; i < count; ++i)
    if (!(fabs((double)values[i] - expected[i]) <= bound)) {
      printf("element %d is %g, not %g\n", i, (double)values[i], expected[i]);
      return 0;
    }
  return 1;
}

static int all_poisoned(const float* values, int count) {
  int i;
  for (i = 0; i < count; ++i)
    if (values[i] == values[i]) return 0;
  return 1;
}

/* The status, and a sentence that holds `words`. */
static int is_refused(stepvideo_status status, const char* words) {
  const int is_said = strstr(stepvideo_last_error(), words) != NULL;
  if (!is_said) printf("not said: %s\n", words);
  return status == STEPVIDEO_REFUSED && is_said;
}

enum { BATCH = 2, QUERIES = 5, KEYS = 7, HEADS = 4, SHARED = 2, DIM = 8 };
static float q[BATCH * QUERIES * HEADS * DIM], k[BATCH * KEYS * SHARED * DIM], v[BATCH * KEYS * SHARED * DIM],
    result[BATCH * QUERIES * HEADS * DIM], sums[BATCH * QUERIES * HEADS];
static double expected[BATCH * QUERIES * HEADS * DIM], expected_sums[BATCH * QUERIES * HEADS];

static void expect_attention(const int64_t* lengths, int is_causal, int before, double scale) {
  int b, i, h, j, c;
  for (b = 0; b < BATCH; ++b)
    for (i = 0; i < QUERIES; ++i)
      for (h = 0; h < HEADS; ++h) {
        const int row = (b * QUERIES + i) * HEADS + h;
        int seen = lengths != NULL ? (int)lengths[b] : KEYS;
        double scores[KEYS], sum = 0;
        if (is_causal && i + 1 + before < seen) seen = i + 1 + before;
        for (j = 0; j < seen; ++j) {
          double score = 0;
          for (c = 0; c < DIM; ++c)
            score += (double)q[row * DIM + c] * (double)k[((b * KEYS + j) * SHARED + h / 2) * DIM + c];
          sum += scores[j] = exp(score * scale);
        }
        for (c = 0; c < DIM; ++c) {
          double value = 0;
          for (j = 0; j < seen; ++j)
            value += scores[j] / sum * (double)v[((b * KEYS + j) * SHARED + h / 2) * DIM + c];
          expected[row * DIM + c] = value;
        }
        expected_sums[row] = log(sum);
      }
}

static void attention_is_softmax_of_scores(void) {
  const int64_t lengths[BATCH] = {7, 3}, batch = BATCH;
  stepvideo_tensor queries = of_4(q, BATCH, QUERIES, HEADS, DIM), keys = of_4(k, BATCH, KEYS, SHARED, DIM),
                   values = of_4(v, BATCH, KEYS, SHARED, DIM), out = of_4(result, BATCH, QUERIES, HEADS, DIM),
                   log_sum_exp = of_3(sums, BATCH, QUERIES, HEADS),
                   key_lengths = tensor_of((void*)lengths, STEPVIDEO_INT64, 1, &batch);
  stepvideo_attention_options options;
  const int count = BATCH * QUERIES * HEADS * DIM, rows = BATCH * QUERIES * HEADS;
  fill(q, count, 1), fill(k, BATCH * KEYS * SHARED * DIM, 2), fill(v, BATCH * KEYS * SHARED * DIM, 3);

  poison(result, count);
  expect_attention(NULL, 0, 0, 1 / sqrt((double)DIM));
  CHECK(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out) == STEPVIDEO_OK);
  CHECK(all_near(result, expected, count, 1e-6));

  memset(&options, 0, sizeof options);
  options.scale = 0.7f, options.key_lengths = &key_lengths, options.log_sum_exp = &log_sum_exp;
  poison(result, count), poison(sums, rows);
  expect_attention(lengths, 0, 0, (double)0.7f);
  CHECK(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out) == STEPVIDEO_OK);
  CHECK(all_near(result, expected, count, 1e-6) && all_near(sums, expected_sums, rows, 1e-5));

  memset(&options, 0, sizeof options);
  options.mask = STEPVIDEO_MASK_CAUSAL;
  poison(result, count);
  expect_attention(NULL, 1, 0, 1 / sqrt((double)DIM));
  CHECK(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out) == STEPVIDEO_OK);
  CHECK(all_near(result, expected, count, 1e-6));

  options.keys_before = KEYS - QUERIES;
  poison(result, count);
  expect_attention(NULL, 1, KEYS - QUERIES, 1 / sqrt((double)DIM));
  CHECK(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out) == STEPVIDEO_OK);
  CHECK(all_near(result, expected, count, 1e-6));
  options.keys_before = 0;

  /* Mistakes leave the result alone. */
  poison(result, count);
  CHECK(is_refused(stepvideo_attention(NULL, NULL, &keys, &values, NULL, &out), "queries is a null pointer"));
  keys.rank = 3;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "keys has the shape (2, 7, 2); it must be (batch, tokens, heads, dim)"));
  keys.rank = 6;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out), "keys has a rank of 6"));
  keys = of_4(k, BATCH, KEYS - 1, SHARED, DIM);
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "keys are (2, 6, 2, 8) and values (2, 7, 2, 8); they must agree"));
  keys = of_4(k, BATCH, KEYS, SHARED, DIM), keys.element = STEPVIDEO_BF16;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "keys is bf16; here it must be fp32"));
  keys.element = 77;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "keys is of an unknown element, number 77"));
  keys = of_4(NULL, BATCH, KEYS, SHARED, DIM);
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "keys has the shape (2, 7, 2, 8) and no data"));
  keys = of_4((float*)((char*)k + 1), BATCH, KEYS, SHARED, DIM);
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "not aligned to its elements"));
  keys = of_4(k, BATCH, KEYS, SHARED, DIM), keys.strides[3] = 2;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "the last extent must be dense"));
  keys = of_4(k, BATCH, KEYS, SHARED, DIM), keys.strides[1] = -4;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out), "strides are 0 or more"));
  keys = of_4(k, BATCH, KEYS, SHARED, DIM), keys.shape[1] = -1;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out), "extents are 0 or more"));
  keys = of_4(k, BATCH, KEYS, SHARED, DIM), keys.shape[1] = INT64_MAX, keys.strides[1] = INT64_MAX;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out), "which no memory holds"));
  keys = of_4(k, BATCH, KEYS, SHARED, DIM), out.strides[1] = 0;
  CHECK(
      is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out), "strides are above zero"));
  out = of_4(q, BATCH, QUERIES, HEADS, DIM);
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "out lies where queries lie"));
  out = of_4(result, BATCH, QUERIES, HEADS, DIM), queries.element = STEPVIDEO_FP16;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, NULL, &out),
                   "queries is fp16; the CPU serves fp32, bf16"));
  queries.element = STEPVIDEO_FP32, options.mask = 9;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out), "mask 9 is none of"));
  options.mask = STEPVIDEO_MASK_CAUSAL, options.key_lengths = &key_lengths;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out),
                   "the full mask takes them"));
  options.mask = STEPVIDEO_MASK_FULL, key_lengths.shape[0] = 1;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out),
                   "1 key lengths for a batch of 2"));
  options.key_lengths = NULL, options.keys_before = 1;
  CHECK(is_refused(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out),
                   "the causal mask takes others"));
  options.keys_before = 0, options.scale = INFINITY;
  CHECK(
      is_refused(stepvideo_attention(NULL, &queries, &keys, &values, &options, &out), "a finite one works"));
  CHECK(all_poisoned(result, count));
}

static void fp8_attention_is_near_attention(void) {
  stepvideo_tensor queries = of_4(q, BATCH, QUERIES, HEADS, DIM), keys = of_4(k, BATCH, KEYS, SHARED, DIM),
                   values = of_4(v, BATCH, KEYS, SHARED, DIM), out = of_4(result, BATCH, QUERIES, HEADS, DIM);
  const int count = BATCH * QUERIES * HEADS * DIM;
  size_t bytes = 0;
  char *memory, *workspace;
  CHECK(stepvideo_fp8_attention_workspace(NULL, &queries, &keys, &bytes) == STEPVIDEO_OK && bytes > 0);
  memory = malloc(bytes + 64);
  workspace = memory + (64 - (uintptr_t)memory % 64);
  poison(result, count);
  expect_attention(NULL, 0, 0, 1 / sqrt((double)DIM));
  CHECK(stepvideo_fp8_attention(NULL, &queries, &keys, &values, NULL, NULL, workspace, bytes, &out) ==
        STEPVIDEO_OK);
  CHECK(all_near(result, expected, count, 0.08)); /* values of up to 1 in steps of 1/16 of a power of two */
  poison(result, count);
  CHECK(is_refused(
      stepvideo_fp8_attention(NULL, &queries, &keys, &values, NULL, NULL, workspace, bytes - 64, &out),
      "size it with the kernel's"));
  CHECK(is_refused(stepvideo_fp8_attention(NULL, &queries, &keys, &values, NULL, NULL, NULL, bytes, &out),
                   "the workspace is a null pointer"));
  CHECK(is_refused(
      stepvideo_fp8_attention(NULL, &queries, &keys, &values, NULL, NULL, workspace + 4, bytes, &out),
      "the workspace is not aligned"));
  CHECK(
      is_refused(stepvideo_fp8_attention_workspace(NULL, &queries, &keys, NULL), "bytes is a null pointer"));
  CHECK(all_poisoned(result, count));
  free(memory);
}

static void norms_are_their_formulas(void) {
  enum { TOKENS = 3, WIDTH = 10 };
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

static void group_norm_is_its_formula(void) {
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

static void qk_norm_rope_norms_and_turns(void) {
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

static void causal_conv3d_sees_the_past_alone(void) {
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
