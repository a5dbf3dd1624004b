// LayerNorm on the GPU, behind the same call as on the CPU.
#pragma once
#include <algorithm>
#include <cuda/std/functional>
#include <type_traits>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// How blocks share rows: each takes `rows` neighbouring tokens of one batch element and keeps them in
/// registers, `packs` packs of `vector` elements of each a thread. Terms are read once for all rows of a
/// block.
template <int vector_elements>
struct LayerNormTuning {
  static constexpr int vector = vector_elements;
  static constexpr int threads = 256, rows = 1;
  static constexpr int packs = 24 / vector;  // 6144 channels: the model's width
  static constexpr index_t widest = index_t{threads} * packs * vector;
};

/// The parts a LayerNorm is put together from. Source says where a row's values come from and what becomes of
/// them, Out where the results go.
template <class SourceRows, class Term, class OutView, int vector_elements>
struct LayerNormPolicy : LayerNormTuning<vector_elements> {
  using Source = SourceRows;
  using TermElement = Term;
  using Terms = LayerNormTerms<Term>;
  using Out = OutView;
};

template <class Policy>
struct LayerNormParams {
  typename Policy::Source source;
  typename Policy::Terms terms;
  float epsilon;
  index_t tokens, width;
  typename Policy::Out out;
};

/// The rows of a tensor, read and left as they are.
template <class In>
struct PlainRows {
  static constexpr int widest_element = sizeof(In);
  TokensView<const In> in;

  template <int count>
  using Loaded = Pack<In, count>;

  template <int count>
  __device__ Loaded<count> load(index_t batch, index_t token, int column) const {
    return load_pack_once<count>(in.row(batch, token) + column);
  }
  template <int count>
  __device__ void evaluate(const Loaded<count>& loaded, float (&values)[count]) const {
    widen_pack(loaded, values);
  }
  template <int count>
  __device__ void keep(index_t, index_t, int, const float (&)[count]) const {}
  __device__ float again(index_t batch, index_t token, int column) const {
    return float(in.row(batch, token)[column]);
  }

  template <int count>
  bool fits() const {
    return packs_fit<count>(in.data, in.width, in.batch_stride, in.token_stride);
  }
};

namespace detail {

/// The terms of neighbouring channels; those that are left out are the identity.
template <class T, int count>
class ChannelTerms {
 public:
  __device__ ChannelTerms(const LayerNormTerms<T>& terms, index_t batch, int column) {
#pragma unroll
    for (int e = 0; e < count; ++e) weight_[e] = 1, bias_[e] = 0, scale_[e] = 0, shift_[e] = 0;
    if (terms.weight.data != nullptr) {
      widen_pack(load_constant_pack<count>(terms.weight.data + column), weight_);
      widen_pack(load_constant_pack<count>(terms.bias.data + column), bias_);
    }
    if (terms.scale.data != nullptr) {
      widen_pack(load_constant_pack<count>(terms.scale.row(batch) + column), scale_);
      widen_pack(load_constant_pack<count>(terms.shift.row(batch) + column), shift_);
    }
  }
  __device__ float operator()(float n, int e) const {
    return (n * weight_[e] + bias_[e]) * (1.0f + scale_[e]) + shift_[e];
  }

 private:
  float weight_[count], bias_[count], scale_[count], shift_[count];
};

template <int count, class Out>
__device__ void store_rounded(TokensView<Out> out, index_t batch, index_t token, int column,
                              const float (&values)[count]) {
  store_pack_once(out.row(batch, token) + column, round_pack<Out>(values));
}

template <class Out>
inline constexpr bool is_scaled = std::same_as<Out, ScaledTokensView>;

}  // namespace detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) layer_norm_kernel(LayerNormParams<Policy> params) {
  constexpr int vector = Policy::vector, packs = Policy::packs, rows = Policy::rows;
  using Reduce = BlockAllReduce<Policy::threads, rows>;
  __shared__ typename Reduce::Storage storage;
  Reduce reduce(storage);

  const auto& source = params.source;
  const int width = static_cast<int>(params.width);
  const float float_width = static_cast<float>(width);
  const index_t batch = blockIdx.y, first = index_t{blockIdx.x} * rows;
  const auto column = [](int p) { return (p * Policy::threads + static_cast<int>(threadIdx.x)) * vector; };
  const auto for_each_pack = [&](auto&& body) {
#pragma unroll
    for (int p = 0; p < packs; ++p)
      if (column(p) < width) body(p);
  };
  const auto for_each_row = [&](auto&& body) {
#pragma unroll
    for (int r = 0; r < rows; ++r)
      if (rows == 1 || first + r < params.tokens) body(r);
  };

  // Every load is on its way before the first value is used.
  typename Policy::Source::template Loaded<vector> loaded[rows][packs];
  for_each_row([&](int r) {
    for_each_pack([&](int p) { loaded[r][p] = source.template load<vector>(batch, first + r, column(p)); });
  });
  float x[rows][packs][vector];
  float mean[rows] = {}, inverse[rows] = {};
  for_each_row([&](int r) {
    for_each_pack([&](int p) {
      source.template evaluate<vector>(loaded[r][p], x[r][p]);
#pragma unroll
      for (int e = 0; e < vector; ++e) mean[r] += x[r][p][e];
    });
    for_each_pack([&](int p) { source.template keep<vector>(batch, first + r, column(p), x[r][p]); });
  });
  reduce(mean, cuda::std::plus<float>{});

  for_each_row([&](int r) {
    mean[r] /= float_width;
    for_each_pack([&](int p) {
#pragma unroll
      for (int e = 0; e < vector; ++e) inverse[r] += (x[r][p][e] - mean[r]) * (x[r][p][e] - mean[r]);
    });
  });
  reduce(inverse, cuda::std::plus<float>{});
  for_each_row([&](int r) { inverse[r] = 1.0f / sqrtf(inverse[r] / float_width + params.epsilon); });

  for_each_pack([&](int p) {
    const detail::ChannelTerms<typename Policy::TermElement, vector> finish(params.terms, batch, column(p));
    for_each_row([&](int r) {
#pragma unroll
      for (int e = 0; e < vector; ++e) x[r][p][e] = finish((x[r][p][e] - mean[r]) * inverse[r], e);
      if constexpr (!detail::is_scaled<typename Policy::Out>)
        detail::store_rounded(params.out, batch, first + r, column(p), x[r][p]);
    });
  });

  if constexpr (detail::is_scaled<typename Policy::Out>) {
    float largest[rows] = {};
    for_each_row([&](int r) {
      for_each_pack([&](int p) {
#pragma unroll
        for (int e = 0; e < vector; ++e) largest[r] = LargerMagnitude{}(largest[r], x[r][p][e]);
      });
    });
    reduce(largest, LargerMagnitude{});
    for_each_row([&](int r) {
      const RowScale scale = RowScale::of(largest[r]);
      if (threadIdx.x == 0) params.out.scale(batch, first + r) = scale.scale;
      for_each_pack([&](int p) {
#pragma unroll
        for (int e = 0; e < vector; ++e) x[r][p][e] = scale(x[r][p][e]);
        detail::store_rounded(params.out.values, batch, first + r, column(p), x[r][p]);
      });
    });
  }
}

/// Rows that do not fit the registers or lie off the packs' grid: one a block, read once for each use.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads) layer_norm_loop_kernel(LayerNormParams<Policy> params) {
  using Reduce = BlockAllReduce<Policy::threads, 1>;
  __shared__ typename Reduce::Storage storage;
  Reduce reduce(storage);

  const auto& source = params.source;
  const int width = static_cast<int>(params.width);
  const float float_width = static_cast<float>(width);
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto for_each_column = [&](auto&& body) {
    for (int i = threadIdx.x; i < width; i += Policy::threads) body(i);
  };

  float mean[1] = {}, inverse[1] = {};
  for_each_column([&](int i) {
    float x[1];
    source.template evaluate<1>(source.template load<1>(batch, token, i), x);
    source.template keep<1>(batch, token, i, x);
    mean[0] += x[0];
  });
  reduce(mean, cuda::std::plus<float>{});
  mean[0] /= float_width;
  for_each_column([&](int i) {
    const float deviation = source.again(batch, token, i) - mean[0];
    inverse[0] += deviation * deviation;
  });
  reduce(inverse, cuda::std::plus<float>{});
  inverse[0] = 1.0f / sqrtf(inverse[0] / float_width + params.epsilon);

  const auto value = [&](int i) {
    const detail::ChannelTerms<typename Policy::TermElement, 1> finish(params.terms, batch, i);
    return finish((source.again(batch, token, i) - mean[0]) * inverse[0], 0);
  };
  if constexpr (detail::is_scaled<typename Policy::Out>) {
    float largest[1] = {};
    for_each_column([&](int i) { largest[0] = LargerMagnitude{}(largest[0], value(i)); });
    reduce(largest, LargerMagnitude{});
    const RowScale scale = RowScale::of(largest[0]);
    if (threadIdx.x == 0) params.out.scale(batch, token) = scale.scale;
    for_each_column(
        [&](int i) { detail::store_rounded<1>(params.out.values, batch, token, i, {scale(value(i))}); });
  } else {
    for_each_column([&](int i) { detail::store_rounded<1>(params.out, batch, token, i, {value(i)}); });
  }
}

namespace detail {

template <int count, class T>
bool terms_fit(const LayerNormTerms<T>& terms) {
  return packs_fit<count>(terms.weight.data) && packs_fit<count>(terms.bias.data) &&
         packs_fit<count>(terms.scale.data, terms.scale.row_stride) &&
         packs_fit<count>(terms.shift.data, terms.shift.row_stride);
}
template <int count, class Out>
bool result_fits(TokensView<Out> out) {
  return packs_fit<count>(out.data, out.batch_stride, out.token_stride);
}
template <int count>
bool result_fits(ScaledTokensView out) {
  return result_fits<count>(out.values);
}

template <class Source, class T, class Out>
void launch_layer_norm(Device device, const Source& source, const LayerNormTerms<T>& terms, float epsilon,
                       index_t batch, index_t tokens, index_t width, Out out) {
  if (batch == 0 || tokens == 0 || width == 0) return;
  constexpr int vector = widest_access_bytes / Source::widest_element;
  const auto launch_with = [&](auto policy, index_t rows, auto kernel) {
    launch({.grid = dim3(static_cast<unsigned>((tokens + rows - 1) / rows), static_cast<unsigned>(batch)),
            .block = policy.threads,
            .stream = device.stream},
           kernel, LayerNormParams<decltype(policy)>{source, terms, epsilon, tokens, width, out});
  };
  using Fast = LayerNormPolicy<Source, T, Out, vector>;
  using Loop = LayerNormPolicy<Source, T, Out, 1>;
  if (width <= Fast::widest && source.template fits<vector>() && terms_fit<vector>(terms) &&
      result_fits<vector>(out)) {
    launch_with(Fast{}, Fast::rows, layer_norm_kernel<Fast>);
  } else {
    launch_with(Loop{}, 1, layer_norm_loop_kernel<Loop>);
  }
}

}  // namespace detail

/// See the host's layer_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <class In, Element T>
requires Element<std::remove_const_t<In>>
void layer_norm(Device device, TokensView<In> in, std::type_identity_t<const LayerNormTerms<T>&> terms,
                float epsilon, TokensView<T> out) {
  require_norm_result_fits("layer_norm", in, out);
  require_layer_norm_terms("layer_norm", in.batch, in.width, terms);
  detail::launch_layer_norm(device, PlainRows<std::remove_const_t<In>>{in}, terms, epsilon, in.batch,
                            in.tokens, in.width, out);
}
template <class In, Element T>
requires Element<std::remove_const_t<In>>
void layer_norm(Device device, TokensView<In> in, const LayerNormTerms<T>& terms, float epsilon,
                ScaledTokensView out) {
  require_norm_result_fits("layer_norm", in, out);
  require_layer_norm_terms("layer_norm", in.batch, in.width, terms);
  detail::launch_layer_norm(device, PlainRows<std::remove_const_t<In>>{in}, terms, epsilon, in.batch,
                            in.tokens, in.width, out);
}

}  // namespace stepvideo
