// What LayerNorm's kernels are put together from: where a row comes from, which of its packs exist, the terms
// of its channels.
#pragma once
#include <concepts>

#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// A block takes a row and keeps it in registers, `packs` packs of `vector` elements a thread; `blocks` of
/// them share a multiprocessor, which bounds the registers. On an H200 at 75,888 x 6144 with all terms, in
/// shares of the device copy's 4228 GB/s: float to bf16 102 %, to fp8 90 %, bf16 to bf16 88 %; behind a gated
/// residual on a float stream 96 and 94 %, on a bf16 stream 94 %. What decides is how many rows a
/// multiprocessor has in hand and how few instructions a row costs: with 256 threads bf16 to bf16 reaches 57
/// % in three blocks and 85 % in four.
template <int vector_elements>
struct LayerNormTuning {
  static constexpr int vector = vector_elements;
  static constexpr int threads = vector == 8 ? 128 : 256, blocks = vector == 8 ? 6 : 4;
  static constexpr int packs = 6144 / threads / vector;  // the model's width
  static constexpr index_t widest = index_t{threads} * packs * vector;
};

/// Which packs of a row exist: all of them where a row is as wide as the registers, which costs no question.
struct WidestRows {
  static __device__ bool have(PackColumn, int) { return true; }
};
struct NarrowerRows {
  static __device__ bool have(PackColumn column, int width) { return column.is_within(width); }
};

/// The rows of a tensor, read and left as they are.
template <class In>
struct PlainRows {
  static constexpr int widest_element = sizeof(In);
  TokensView<const In> in;

  template <int count>
  using Loaded = Pack<In, count>;

  template <int count>
  __device__ Loaded<count> load(index_t batch, index_t token, PackColumn column) const {
    return load_pack_once<count>(column.of(in.row(batch, token)));
  }
  template <int count>
  __device__ void evaluate(const Loaded<count>& loaded, index_t, PackColumn, float (&values)[count]) const {
    widen_pack(loaded, values);
  }
  template <int count>
  __device__ void keep(index_t, index_t, PackColumn, const float (&)[count]) const {}
  __device__ float again(index_t batch, index_t token, PackColumn column) const {
    return float(*column.of(in.row(batch, token)));
  }

  /// The rows of the batch elements from `first` on.
  PlainRows from(index_t first) const { return {from_batch(in, first)}; }
  template <int count>
  bool fits() const {
    return packs_fit<count>(in.data, in.width, in.batch_stride, in.token_stride);
  }
};

namespace norm_detail {

/// The terms of neighbouring channels.
template <class T, int count>
class ChannelTerms {
 public:
  /// Those that are left out are the identity.
  static __device__ ChannelTerms given(const LayerNormTerms<T>& terms, index_t batch, PackColumn column) {
    ChannelTerms result;
#pragma unroll
    for (int e = 0; e < count; ++e)
      result.weight_[e] = 1, result.bias_[e] = 0, result.scale_[e] = 0, result.shift_[e] = 0;
    if (terms.weight.data != nullptr) result.load_affine(terms, column);
    if (terms.scale.data != nullptr) result.load_modulation(terms, batch, column);
    return result;
  }
  /// None is left out: no branch stands between the loads.
  static __device__ ChannelTerms all(const LayerNormTerms<T>& terms, index_t batch, PackColumn column) {
    ChannelTerms result;
    result.load_affine(terms, column);
    result.load_modulation(terms, batch, column);
    return result;
  }
  __device__ float operator()(float n, int e) const {
    return (n * weight_[e] + bias_[e]) * (1.0f + scale_[e]) + shift_[e];
  }

 private:
  __device__ void load_affine(const LayerNormTerms<T>& terms, PackColumn column) {
    widen_pack(load_constant_pack<count>(column.of(terms.weight.data)), weight_);
    widen_pack(load_constant_pack<count>(column.of(terms.bias.data)), bias_);
  }
  __device__ void load_modulation(const LayerNormTerms<T>& terms, index_t batch, PackColumn column) {
    widen_pack(load_constant_pack<count>(column.of(terms.scale.row(batch))), scale_);
    widen_pack(load_constant_pack<count>(column.of(terms.shift.row(batch))), shift_);
  }

  float weight_[count], bias_[count], scale_[count], shift_[count];
};

template <int count, class Out>
__device__ void store_rounded(TokensView<Out> out, index_t batch, index_t token, PackColumn column,
                              const float (&values)[count]) {
  store_pack_once(column.of(out.row(batch, token)), round_pack<Out>(values));
}

/// Of a pack by itself: packs do not wait for one another.
template <int count>
__device__ float sum_of(const float (&values)[count]) {
  float sum = values[0];
#pragma unroll
  for (int e = 1; e < count; ++e) sum += values[e];
  return sum;
}
template <int count>
__device__ float sum_of_squares(const float (&values)[count]) {
  float sum = values[0] * values[0];
#pragma unroll
  for (int e = 1; e < count; ++e) sum += values[e] * values[e];
  return sum;
}

template <int count, class Out>
bool result_fits(TokensView<Out> out) {
  return packs_fit<count>(out.data, out.batch_stride, out.token_stride);
}
template <int count>
bool result_fits(ScaledTokensView out) {
  return result_fits<count>(out.values);
}

template <class Out>
inline constexpr bool is_scaled = std::same_as<Out, ScaledTokensView>;

}  // namespace norm_detail

}  // namespace stepvideo
