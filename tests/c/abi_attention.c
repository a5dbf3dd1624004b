/* Attention, as it is and in fp8, against its formula. */
#include <stdlib.h>

#include "abi.h"

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

void attention_is_softmax_of_scores(void) {
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

void fp8_attention_is_near_attention(void) {
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
