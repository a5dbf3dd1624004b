// The calls behind the C ABI, one unit for each family and execution: NAME.cpp for the CPU, NAME.cu for GPUs.
// They throw; the boundary (boundary.hpp) makes statuses of it.
#pragma once
#include <cstddef>
#include <cstdint>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/shape.hpp>

#include "argument.hpp"
#include "stepvideo_c.h"

namespace stepvideo::c_abi {

/// Tensors of attention, with every option told.
struct AttentionCall {
  Argument queries, keys, values, key_lengths, log_sum_exp, out;
  stepvideo_attention_options options;
};
void attention(Host, const AttentionCall&);
void attention(Device, const AttentionCall&);

struct Fp8AttentionCall {
  AttentionCall attention;
  stepvideo_fp8_options quantize;
  void* workspace;
  std::size_t workspace_bytes;
};
std::size_t fp8_attention_workspace(Host, const Argument& queries, const Argument& keys);
std::size_t fp8_attention_workspace(Device, const Argument& queries, const Argument& keys);
void fp8_attention(Host, const Fp8AttentionCall&);
void fp8_attention(Device, const Fp8AttentionCall&);

struct QkNormRopeCall {
  Argument packed, query_weight, key_weight;
  float epsilon;
  const stepvideo_rope_table& table;
  std::int64_t first_token;
  Argument queries, keys, values;
};
stepvideo_rope_table* make_rope_table(Host, LatentShape shape, RopeSplit split);
stepvideo_rope_table* make_rope_table(Device, LatentShape shape, RopeSplit split);
void qk_norm_rope(Host, const QkNormRopeCall&);
void qk_norm_rope(Device, const QkNormRopeCall&);

struct RmsNormCall {
  Argument in, weight;
  float epsilon;
  Argument out;
};
void rms_norm(Host, const RmsNormCall&);
void rms_norm(Device, const RmsNormCall&);

struct LayerNormCall {
  Argument in, weight, bias, scale, shift;
  float epsilon;
  Argument out;
};
void layer_norm(Host, const LayerNormCall&);
void layer_norm(Device, const LayerNormCall&);

struct GroupNormCall {
  Argument in, weight, bias;
  std::int32_t groups;
  float epsilon;
  std::int32_t activation;
  void* workspace;
  std::size_t workspace_bytes;
  Argument out;
};
std::size_t group_norm_workspace(Host, const Argument& in);
std::size_t group_norm_workspace(Device, const Argument& in);
void group_norm(Host, const GroupNormCall&);
void group_norm(Device, const GroupNormCall&);

struct CausalConvCall {
  Argument in;
  const stepvideo_conv_weight& weight;
  Argument bias;
  std::int32_t stride, past_frames;
  Argument out;
};
stepvideo_conv_weight* make_conv_weight(Host, const Argument& weight);
stepvideo_conv_weight* make_conv_weight(Device, const Argument& weight);
void causal_conv3d(Host, const CausalConvCall&);
void causal_conv3d(Device, const CausalConvCall&);

}  // namespace stepvideo::c_abi
