// Calls that are right, and with MISTAKES calls of one mistake each: the line before says what the compiler
// must say of it, and nothing else.
#include <stepvideo/kernels/attention/fp8_attention.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/gated_residual.hpp>
#include <stepvideo/kernels/norm/group_norm.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>
#include <stepvideo/kernels/rope/rope.hpp>
#include <stepvideo/kernels/sampler/guided_step.hpp>

using namespace stepvideo;

template <class T>
struct Tensors {
  HeadsView<T> heads;
  HeadsView<const T> read_heads;
  MatrixView<T> matrix;
  TokensView<T> tokens;
  VectorView<T> vector;
  VideoView<T> video;
};

void calls(Tensors<float> a, Tensors<bf16> b, Tensors<fp16> c, Tensors<double> d, CUstream_st* stream,
           const PackedConvWeight<float, Host>& weight, const RopeTableView& table) {
  const QkNorm<float> norm{};
  const QkvOutput<float> separate{};
  const GuidedVelocities velocities{};
  attention(host, a.heads, a.heads, a.read_heads, FullMask{}, a.heads);
  attention(host, a.heads, a.heads, a.read_heads, CausalMask{}, a.heads, {});
  convert(host, a.heads, b.heads);
  convert(host, a.tokens, c.tokens, Silu{});
  rms_norm(host, a.heads, a.vector, 1e-6f, a.heads);
  rms_norm(host, b.matrix, b.vector, 1e-6f, b.matrix);
  layer_norm(host, a.tokens, LayerNormTerms<bf16>{}, 1e-6f, b.tokens);
  layer_norm(host, a.tokens, LayerNormTerms<bf16>{}, 1e-6f, ScaledTokensView{});
  group_norm(host, a.video, b.vector, b.vector, 4, 1e-6f, Store{}, b.video);
  qk_norm_rope(host, a.heads, norm, table, separate);
  qk_norm_rope(host, a.heads, norm, table, QuantizedQkOutput{});
  causal_conv3d(host, a.video, weight, a.vector, {}, Store{}, b.video);
  linear(host, a.matrix, a.matrix, Store{}, b.matrix);
  guided_step(host, velocities, 9.0f, 0.1f, a.vector);
  rope3d(host, a.heads, table);
  make_rope_table<bf16>(host, {2, 2, 2}, {2, 2, 4});
#ifdef MISTAKES
  // says: the host's kernels compute with float and bf16
  attention(host, c.heads, c.heads, c.heads, FullMask{}, c.heads);
  // says: `out` has elements that no kernel is built for
  attention(host, d.heads, d.heads, d.heads, FullMask{}, d.heads, {});
  // says: `out` is a view of const elements
  attention(host, a.heads, a.heads, a.heads, FullMask{}, a.read_heads);
  // says: an operand has other elements than `out`
  attention(host, a.heads, b.heads, a.heads, FullMask{}, a.heads);
  // says: the mask is no AttentionMask
  attention(host, a.heads, a.heads, a.heads, 5, a.heads);
  // says: an execution is wanted where a CUDA stream stands
  attention(stream, a.heads, a.heads, a.heads, FullMask{}, a.heads, {});
  // says: attention takes an execution, queries, keys, values, a mask, out
  attention(host, a.heads, a.heads, a.heads, a.heads, {});
  // says: attention takes an execution, queries, keys, values, a mask, out
  attention(host, a.heads, a.heads, a.heads, a.heads);
  // says: attention on a Device is in <stepvideo/kernels/attention/attention.cuh>
  attention(Device{stream}, a.heads, a.heads, a.heads, FullMask{}, a.heads, {});
  // says: an operand of fp8_attention is not quantised
  fp8_attention(host, a.heads, a.heads, a.heads, FullMask{}, a.heads, {});
  // says: rms_norm on a Device is in <stepvideo/kernels/norm/rms_norm.cuh>
  rms_norm(Device{stream}, a.matrix, a.vector, 1e-6f, a.matrix);
  // says: rms_norm takes an execution, in, the weight, epsilon and out
  rms_norm(host, a.heads, a.vector, a.heads);
  // says: an operand has other elements than `out`
  layer_norm(host, a.tokens, LayerNormTerms<float>{}, 1e-6f, b.tokens);
  // says: the epilogue is no Epilogue
  group_norm(host, a.video, a.vector, a.vector, 4, 1e-6f, Silu{}, a.video);
  // says: an operand has other elements than `out`
  qk_norm_rope(host, b.heads, norm, table, separate);
  // says: the weight is no PackedConvWeight of this execution
  causal_conv3d(host, a.video, a.vector, {a.vector.data, a.vector.size}, {}, Store{}, a.video);
  // says: causal_conv3d takes an execution, in, the packed weight
  causal_conv3d(host, a.video, weight, {a.vector.data, a.vector.size}, {}, a.video);
  // says: linear on a Device is in <stepvideo/kernels/linear/linear.cuh>
  linear(Device{stream}, a.matrix, a.matrix, Store{}, a.matrix);
  // says: linear takes an execution, in, the weight, an epilogue, out
  linear(host, a.matrix, a.matrix, a.matrix);
  // says: `out` is not the kind of view
  convert(host, a.tokens, a.matrix);
  // says: an execution is wanted where a CUDA stream stands
  guided_step(stream, velocities, 9.0f, 0.1f, a.vector);
  // says: make_rope_table on a Device is in <stepvideo/kernels/rope/rope_table.cuh>
  make_rope_table<float>(Device{stream}, {2, 2, 2}, {2, 2, 4});
  // says: rope3d on a Device is in <stepvideo/kernels/rope/rope.cuh>
  rope3d(Device{stream}, a.heads, table);
  // says: gated_residual on a Device is in <stepvideo/kernels/norm/gated_residual.cuh>
  gated_residual(Device{stream}, a.tokens, a.matrix, a.tokens, a.tokens);
  // says: pack_conv_weight on a Device is in <stepvideo/kernels/conv/conv_weight.cuh>
  pack_conv_weight(Device{stream}, a.vector, weight.shape(), a.vector);
  // says: partial_attention on a Device is in <stepvideo/kernels/attention/attention.cuh>
  partial_attention(Device{stream}, a.heads, a.heads, a.heads, FullMask{}, a.heads, AttentionOptions{});
#endif
}
