/* What the programs of C share: tensors, numbers, comparisons, and the tests that abi_test.c runs. */
#ifndef STEPVIDEO_TESTS_C_ABI_H
#define STEPVIDEO_TESTS_C_ABI_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "stepvideo_c.h"

extern int failures;

#define CHECK(fact)                                                                            \
  do {                                                                                         \
    if (!(fact)) {                                                                             \
      printf("FAILED at %s:%d: %s (%s)\n", __FILE__, __LINE__, #fact, stepvideo_last_error()); \
      ++failures;                                                                              \
    }                                                                                          \
  } while (0)

static inline stepvideo_tensor tensor_of(void* data, int element, int rank, const int64_t* shape) {
  stepvideo_tensor tensor;
  int64_t stride = 1;
  int i;
  memset(&tensor, 0, sizeof tensor);
  tensor.data = data, tensor.element = element, tensor.rank = rank;
  for (i = rank - 1; i >= 0; --i) tensor.shape[i] = shape[i], tensor.strides[i] = stride, stride *= shape[i];
  return tensor;
}

static inline stepvideo_tensor of_4(float* data, int64_t a, int64_t b, int64_t c, int64_t d) {
  int64_t shape[4];
  shape[0] = a, shape[1] = b, shape[2] = c, shape[3] = d;
  return tensor_of(data, STEPVIDEO_FP32, 4, shape);
}

static inline stepvideo_tensor of_3(float* data, int64_t a, int64_t b, int64_t c) {
  int64_t shape[3];
  shape[0] = a, shape[1] = b, shape[2] = c;
  return tensor_of(data, STEPVIDEO_FP32, 3, shape);
}

static inline stepvideo_tensor of_2(float* data, int64_t a, int64_t b) {
  int64_t shape[2];
  shape[0] = a, shape[1] = b;
  return tensor_of(data, STEPVIDEO_FP32, 2, shape);
}

static inline stepvideo_tensor of_1(float* data, int64_t a) {
  return tensor_of(data, STEPVIDEO_FP32, 1, &a);
}

/* Numbers from -1 to 1 that look random, the same every time. */
static inline void fill(float* values, int count, unsigned seed) {
  int i;
  for (i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
  }
}

static inline void poison(float* values, int count) {
  int i;
  for (i = 0; i < count; ++i) values[i] = NAN;
}

static inline int all_near(const float* values, const double* expected, int count, double bound) {
  int i;
  for (i = 0; i < count; ++i)
    if (!(fabs((double)values[i] - expected[i]) <= bound)) {
      printf("element %d is %g, not %g\n", i, (double)values[i], expected[i]);
      return 0;
    }
  return 1;
}

static inline int all_poisoned(const float* values, int count) {
  int i;
  for (i = 0; i < count; ++i)
    if (values[i] == values[i]) return 0;
  return 1;
}

/* The status, and a sentence that holds `words`. */
static inline int is_refused(stepvideo_status status, const char* words) {
  const int is_said = strstr(stepvideo_last_error(), words) != NULL;
  if (!is_said) printf("not said: %s\n", words);
  return status == STEPVIDEO_REFUSED && is_said;
}

void attention_is_softmax_of_scores(void);
void fp8_attention_is_near_attention(void);
void norms_are_their_formulas(void);
void group_norm_is_its_formula(void);
void qk_norm_rope_norms_and_turns(void);
void causal_conv3d_sees_the_past_alone(void);

#endif
