/* stepvideo's kernels behind a C ABI: attention, fp8 attention, QK-norm + RoPE, norms and causal convolution,
 * on the CPU and on NVIDIA GPUs, for every language that can call C.
 *
 * Every call takes where it runs (stepvideo_execution; NULL is the CPU), tensors that the caller owns, and
 * returns a status. A call that is refused has written nothing to its results; stepvideo_last_error() then
 * says in one sentence what was found and what would work. No call throws, and none lets an exception out.
 *
 * On a GPU a call only submits work to the stream: nothing waits for it, and its tensors must live until it
 * is done. Calls on the CPU are done when they return; they compute on OpenMP's threads, each with a stack of
 * 2 MB or more. Calls allocate nothing but where they are named ..._create (fp8 attention on the CPU apart).
 * They may be made from several threads at a time. */
#ifndef STEPVIDEO_C_H
#define STEPVIDEO_C_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define STEPVIDEO_API __attribute__((visibility("default")))
#else
#define STEPVIDEO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum stepvideo_status {
  STEPVIDEO_OK = 0,
  STEPVIDEO_REFUSED = 1, /* the request was wrong: a pointer, a shape, an element, an option */
  STEPVIDEO_FAILED = 2   /* the request was sound and the work failed: no memory, no GPU, CUDA's own errors */
} stepvideo_status;

/* What a tensor is stored in. The CPU computes with fp32 and bf16, a GPU with what each function names. */
typedef enum stepvideo_element {
  STEPVIDEO_FP32 = 1,
  STEPVIDEO_BF16 = 2,
  STEPVIDEO_FP16 = 3,
  STEPVIDEO_INT64 = 4 /* lengths */
} stepvideo_element;

typedef enum stepvideo_device { STEPVIDEO_CPU = 0, STEPVIDEO_CUDA = 1 } stepvideo_device;

/* Where a call runs, and where all of its tensors lie. */
typedef struct stepvideo_execution {
  int32_t device;  /* stepvideo_device */
  int32_t ordinal; /* of the GPU, as CUDA counts; the CPU ignores it */
  void* stream;    /* a cudaStream_t of that GPU, NULL its default stream; the CPU ignores it */
} stepvideo_execution;

enum { STEPVIDEO_MAX_RANK = 5 };

/* A tensor. Shape and strides count elements, outermost first. Strides may be anything from zero up: tensors
 * of any layout are taken as they lie, but the last extent must be dense (stride 1). A result has no stride
 * of zero. Calls do not write to tensors that are passed as const. */
typedef struct stepvideo_tensor {
  void* data;      /* aligned to its element; may be NULL where the shape holds no element */
  int32_t element; /* stepvideo_element */
  int32_t rank;
  int64_t shape[STEPVIDEO_MAX_RANK];
  int64_t strides[STEPVIDEO_MAX_RANK];
} stepvideo_tensor;

/* "0.1.0" */
STEPVIDEO_API const char* stepvideo_version(void);

/* 1 where this library serves GPUs, 0 where it was built for the CPU alone. */
STEPVIDEO_API int stepvideo_serves_cuda(void);

/* What the last call of this thread that did not return STEPVIDEO_OK found wrong, in one sentence of UTF-8
 * (at most 1023 bytes); "" before there was one. Valid until the next such call of this thread. */
STEPVIDEO_API const char* stepvideo_last_error(void);

/* Attention */

typedef enum stepvideo_mask {
  STEPVIDEO_MASK_FULL = 0,  /* every query sees every key, or the first key_lengths of them */
  STEPVIDEO_MASK_CAUSAL = 1 /* query i sees keys 0 to keys_before + i */
} stepvideo_mask;

/* All zeros is full attention at the usual scale. */
typedef struct stepvideo_attention_options {
  float scale;         /* of the scores; 0 stands for 1 / sqrt(dim) */
  int32_t mask;        /* stepvideo_mask */
  int64_t keys_before; /* with the causal mask: keys before the first query, as in a cache; else 0 */
  const stepvideo_tensor*
      key_lengths; /* NULL, or (batch) INT64 with the full mask: keys behind are padding */
  const stepvideo_tensor*
      log_sum_exp;               /* NULL, or a result (batch, query tokens, query heads) FP32, any strides */
  int32_t spare_multiprocessors; /* of a GPU, that are left to other kernels */
} stepvideo_attention_options;

/* out = softmax(scale queries keys^T) values over the keys that the mask shows, in float32; a query that sees
 * no key gets zeros. queries and out (batch, query tokens, query heads, dim), keys and values (batch, key
 * tokens, key heads, dim), one element for all. Query head h attends with key head h / (query heads / key
 * heads). `options` may be NULL. CPU: FP32 and BF16, dim up to 512. GPU: BF16 and FP16, any dim; heads of 64
 * and 128 by tensor cores. */
STEPVIDEO_API stepvideo_status stepvideo_attention(
    const stepvideo_execution* execution, const stepvideo_tensor* queries, const stepvideo_tensor* keys,
    const stepvideo_tensor* values, const stepvideo_attention_options* options, const stepvideo_tensor* out);

/* How fp8 attention quantises. All zeros is the recommended way. */
typedef struct stepvideo_fp8_options {
  int32_t without_rotation;  /* not 0: queries and keys are not turned by a Hadamard matrix (dim need be no
                                power of 2) */
  int32_t without_centering; /* not 0: the mean key and the mean value are not subtracted */
} stepvideo_fp8_options;

/* Bytes of workspace that stepvideo_fp8_attention needs for these tensors; it follows from their shapes. */
STEPVIDEO_API stepvideo_status stepvideo_fp8_attention_workspace(const stepvideo_execution* execution,
                                                                 const stepvideo_tensor* queries,
                                                                 const stepvideo_tensor* keys, size_t* bytes);

/* stepvideo_attention whose products are of operands that it first rounds to fp8 e4m3, with scales, in
 * `workspace`: memory of the execution, aligned to 64 bytes. The full mask alone. CPU: FP32 and BF16, slowly,
 * to check a GPU against. GPU: BF16, on Hopper, dim up to 128 in whole 16s. `options` and `fp8` may be NULL.
 */
STEPVIDEO_API stepvideo_status stepvideo_fp8_attention(
    const stepvideo_execution* execution, const stepvideo_tensor* queries, const stepvideo_tensor* keys,
    const stepvideo_tensor* values, const stepvideo_attention_options* options,
    const stepvideo_fp8_options* fp8, void* workspace, size_t workspace_bytes, const stepvideo_tensor* out);

/* QK-norm and rotary embedding */

/* Angles of 3D rotary embedding for a latent video, in the memory of one execution. */
typedef struct stepvideo_rope_table stepvideo_rope_table;

/* Makes a table for frames x height x width tokens and heads of split_frame + split_row + split_column
 * channels, three even numbers: the model's are dim / 2, dim / 4 and dim / 4. Waits for the copy to a GPU.
 * `*table` is written only when this returns STEPVIDEO_OK. */
STEPVIDEO_API stepvideo_status stepvideo_rope_table_create(const stepvideo_execution* execution,
                                                           int32_t frames, int32_t height, int32_t width,
                                                           int32_t split_frame, int32_t split_row,
                                                           int32_t split_column,
                                                           stepvideo_rope_table** table);
/* NULL is allowed. Waits until the GPU has done all work it was given. */
STEPVIDEO_API void stepvideo_rope_table_destroy(stepvideo_rope_table* table);

/* queries and keys = rope(rms_norm(q and k of packed)), values = v of packed. packed (batch, tokens, heads, 3
 * dim): each head is [q | k | v]; the results (batch, tokens, heads, dim), any strides; `values` may be NULL.
 * query_weight and key_weight (dim). One element for all: CPU FP32 and BF16, GPU BF16 and FP16. Tokens are in
 * the order (frame, row, column), and the first of them is token `first_token` of the table. Results may lie
 * where their own inputs do. */
STEPVIDEO_API stepvideo_status stepvideo_qk_norm_rope(
    const stepvideo_execution* execution, const stepvideo_tensor* packed,
    const stepvideo_tensor* query_weight, const stepvideo_tensor* key_weight, float epsilon,
    const stepvideo_rope_table* table, int64_t first_token, const stepvideo_tensor* queries,
    const stepvideo_tensor* keys, const stepvideo_tensor* values);

/* Norms: one element for all but `scale` and `shift`. CPU FP32 and BF16, GPU BF16, FP16 and, of rows, FP32.
 */

/* out = in / sqrt(mean(in^2) + epsilon) weight over the last extent, rounded before it is multiplied by the
 * weight. in and out of rank 2 to 4, weight (last extent). `out` may be `in`. */
STEPVIDEO_API stepvideo_status stepvideo_rms_norm(const stepvideo_execution* execution,
                                                  const stepvideo_tensor* in, const stepvideo_tensor* weight,
                                                  float epsilon, const stepvideo_tensor* out);

/* n = (in - mean) / sqrt(variance + epsilon) over the last extent; out = (n weight + bias) (1 + scale) +
 * shift. in and out (batch, tokens, width) or (tokens, width); weight and bias (width), or both NULL; scale
 * and shift (batch, width) FP32, or both NULL. `out` may be `in`. */
STEPVIDEO_API stepvideo_status stepvideo_layer_norm(
    const stepvideo_execution* execution, const stepvideo_tensor* in, const stepvideo_tensor* weight,
    const stepvideo_tensor* bias, const stepvideo_tensor* scale, const stepvideo_tensor* shift, float epsilon,
    const stepvideo_tensor* out);

typedef enum stepvideo_activation { STEPVIDEO_NO_ACTIVATION = 0, STEPVIDEO_SILU = 1 } stepvideo_activation;

/* Bytes of workspace that stepvideo_group_norm needs for `in`: none on the CPU. */
STEPVIDEO_API stepvideo_status stepvideo_group_norm_workspace(const stepvideo_execution* execution,
                                                              const stepvideo_tensor* in, size_t* bytes);

/* out = activation((in - mean) / sqrt(variance + epsilon) weight + bias) over a frame's pixels and a group's
 * channels: `groups` equal runs, up to 64. in and out (frames, height, width, channels), dense, up to 8192
 * channels; weight and bias (channels). `workspace` is memory of the execution, aligned to 64 bytes; NULL
 * where no bytes are needed. `out` may be `in`. CPU FP32 and BF16, GPU BF16 and FP16. */
STEPVIDEO_API stepvideo_status stepvideo_group_norm(const stepvideo_execution* execution,
                                                    const stepvideo_tensor* in,
                                                    const stepvideo_tensor* weight,
                                                    const stepvideo_tensor* bias, int32_t groups,
                                                    float epsilon, int32_t activation, void* workspace,
                                                    size_t workspace_bytes, const stepvideo_tensor* out);

/* Causal convolution */

/* A convolution's weight in the order in which the kernels read it, in memory of its own. */
typedef struct stepvideo_conv_weight stepvideo_conv_weight;

/* Packs weight (out channels, in channels, kernel frames, kernel height, kernel width), dense, kernels of 1
 * or 3. On a GPU this is work of the stream, for which calls on other streams must wait. `*packed` is written
 * only when this returns STEPVIDEO_OK. */
STEPVIDEO_API stepvideo_status stepvideo_conv_weight_create(const stepvideo_execution* execution,
                                                            const stepvideo_tensor* weight,
                                                            stepvideo_conv_weight** packed);
/* NULL is allowed. Waits until the GPU has done all work it was given. */
STEPVIDEO_API void stepvideo_conv_weight_destroy(stepvideo_conv_weight* packed);

/* out = conv(in) + bias, causal in time. in (frames, height, width, in channels) and out (frames', height',
 * width', out channels), dense; bias (out channels); elements as the weight's: CPU FP32 and BF16, GPU BF16
 * and FP16. A kernel of 3 has two zero frames in front and padding 1 in space. stride 1 or 2 along all three
 * axes: out extents are (n - 1) / stride + 1. The first `past_frames` frames of `in`, 0 to 2, are the video's
 * own past, in place of as many zeros, and have no outputs. `out` must not overlap `in`. */
STEPVIDEO_API stepvideo_status stepvideo_causal_conv3d(const stepvideo_execution* execution,
                                                       const stepvideo_tensor* in,
                                                       const stepvideo_conv_weight* weight,
                                                       const stepvideo_tensor* bias, int32_t stride,
                                                       int32_t past_frames, const stepvideo_tensor* out);

#ifdef __cplusplus
}
#endif
#endif
