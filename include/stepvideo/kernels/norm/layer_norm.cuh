// LayerNorm on the GPU, behind the same call as on the CPU.
#pragma once
#include <cuda/std/functional>
#include <type_traits>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/layer_norm_rows.cuh>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<LayerNorm, Device> = true;
}  // namespace calls

/// The parts a LayerNorm is put together from. Source says where a row's values come from and what becomes of
/// them, Out where the results go.
template <class SourceRows, class Term, class OutView, int vector_elements, class RowWidth>
struct LayerNormPolicy : LayerNormTuning<vector_elements> {
  using Source = SourceRows;
  using TermElement = Term;
  using Terms = LayerNormTerms<Term>;
  using Out = OutView;
  using Rows = RowWidth;
};

template <class Policy>
struct LayerNormParams {
  typename Policy::Source source;
  typename Policy::Terms terms;
  float epsilon, per_channel;  ///< 1 / width
  int width;
  typename Policy::Out out;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks)
    layer_norm_kernel(LayerNormParams<Policy> params) {
  using Terms = norm_detail::ChannelTerms<typename Policy::TermElement, Policy::vector>;
  constexpr int vector = Policy::vector, packs = Policy::packs;
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const auto& source = params.source;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto for_each_pack = [&](auto&& body) {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const PackColumn column{static_cast<int>(threadIdx.x) * vector, p * Policy::threads * vector};
      if (Policy::Rows::have(column, params.width)) body(p, column);
    }
  };

  // Every load is on its way before the first value is used.
  typename Policy::Source::template Loaded<vector> loaded[packs];
  for_each_pack(
      [&](int p, PackColumn column) { loaded[p] = source.template load<vector>(batch, token, column); });
  float x[packs][vector], sum = 0, squares = 0;
  for_each_pack([&](int p, PackColumn column) {
    source.template evaluate<vector>(loaded[p], batch, column, x[p]);
    sum += norm_detail::sum_of(x[p]);
  });
  for_each_pack([&](int p, PackColumn column) { source.template keep<vector>(batch, token, column, x[p]); });

  const float mean = reduce(sum, cuda::std::plus<float>{}) * params.per_channel;
  for_each_pack([&](int p, PackColumn) {
#pragma unroll
    for (int e = 0; e < vector; ++e) x[p][e] -= mean;
    squares += norm_detail::sum_of_squares(x[p]);
  });
  const float variance = reduce(squares, cuda::std::plus<float>{}) * params.per_channel;
  const float inverse = rsqrtf(variance + params.epsilon);

  const auto finish = [&](auto&& terms_of) {
    for_each_pack([&](int p, PackColumn column) {
      const Terms terms = terms_of(params.terms, batch, column);
#pragma unroll
      for (int e = 0; e < vector; ++e) x[p][e] = terms(x[p][e] * inverse, e);
      if constexpr (!norm_detail::is_scaled<typename Policy::Out>)
        norm_detail::store_rounded(params.out, batch, token, column, x[p]);
    });
  };
  if (params.terms.weight.data != nullptr && params.terms.scale.data != nullptr) {
    finish(Terms::all);
  } else {
    finish(Terms::given);
  }

  if constexpr (norm_detail::is_scaled<typename Policy::Out>) {
    float largest = 0;
    for_each_pack([&](int p, PackColumn) {
#pragma unroll
      for (int e = 0; e < vector; ++e) largest = LargerMagnitudeOfLane{}(largest, x[p][e]);
    });
    const Fp8Scale scale = Fp8Scale::of(reduce(largest, LargerMagnitudeOfLane{}));
    if (threadIdx.x == 0) params.out.scale(batch, token) = scale.scale;
    for_each_pack([&](int p, PackColumn column) {
#pragma unroll
      for (int e = 0; e < vector; ++e) x[p][e] = scale(x[p][e]);
      norm_detail::store_rounded(params.out.values, batch, token, column, x[p]);
    });
  }
}

/// Rows that do not fit the registers or lie off the packs' grid: read once for each use.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads) layer_norm_loop_kernel(LayerNormParams<Policy> params) {
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const auto& source = params.source;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto for_each_column = [&](auto&& body) {
    for (int i = threadIdx.x; i < params.width; i += Policy::threads) body(PackColumn{i});
  };

  float sum = 0, squares = 0;
  for_each_column([&](PackColumn column) {
    float x[1];
    source.template evaluate<1>(source.template load<1>(batch, token, column), batch, column, x);
    source.template keep<1>(batch, token, column, x);
    sum += x[0];
  });
  const float mean = reduce(sum, cuda::std::plus<float>{}) * params.per_channel;
  for_each_column([&](PackColumn column) {
    const float deviation = source.again(batch, token, column) - mean;
    squares += deviation * deviation;
  });
  const float variance = reduce(squares, cuda::std::plus<float>{}) * params.per_channel;
  const float inverse = rsqrtf(variance + params.epsilon);

  const auto value = [&](PackColumn column) {
    const auto terms =
        norm_detail::ChannelTerms<typename Policy::TermElement, 1>::given(params.terms, batch, column);
    return terms((source.again(batch, token, column) - mean) * inverse, 0);
  };
  if constexpr (norm_detail::is_scaled<typename Policy::Out>) {
    float largest = 0;
    for_each_column([&](PackColumn column) { largest = LargerMagnitudeOfLane{}(largest, value(column)); });
    const Fp8Scale scale = Fp8Scale::of(reduce(largest, LargerMagnitudeOfLane{}));
    if (threadIdx.x == 0) params.out.scale(batch, token) = scale.scale;
    for_each_column([&](PackColumn column) {
      norm_detail::store_rounded<1>(params.out.values, batch, token, column, {scale(value(column))});
    });
  } else {
    for_each_column([&](PackColumn column) {
      norm_detail::store_rounded<1>(params.out, batch, token, column, {value(column)});
    });
  }
}

namespace norm_detail {

template <int count, class T>
bool terms_fit(const LayerNormTerms<T>& terms) {
  return packs_fit<count>(terms.weight.data) && packs_fit<count>(terms.bias.data) &&
         packs_fit<count>(terms.scale.data, terms.scale.row_stride) &&
         packs_fit<count>(terms.shift.data, terms.shift.row_stride);
}
/// Of the batch elements from `first` on.
template <class T>
LayerNormTerms<T> terms_from(LayerNormTerms<T> terms, index_t first) {
  terms.scale = from_batch(terms.scale, first), terms.shift = from_batch(terms.shift, first);
  return terms;
}

template <class Source, class T, class Out>
void launch_layer_norm(const char* kernel_name, Device device, const Source& source,
                       const LayerNormTerms<T>& terms, float epsilon, index_t batch, index_t tokens,
                       index_t width, Out out) {
  if (tokens == 0 || width == 0) return;
  constexpr int vector = widest_access_bytes / Source::widest_element;
  const auto launch_with = [&](auto policy, auto kernel) {
    for_each_grid_run(batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(grid_blocks(kernel_name, tokens), count),
              .block = policy.threads,
              .stream = device.stream},
             kernel,
             LayerNormParams<decltype(policy)>{source.from(first), terms_from(terms, first), epsilon,
                                               1.0f / static_cast<float>(width),
                                               row_channels(kernel_name, width), from_batch(out, first)});
    });
  };
  using Widest = LayerNormPolicy<Source, T, Out, vector, WidestRows>;
  using Narrower = LayerNormPolicy<Source, T, Out, vector, NarrowerRows>;
  using Loop = LayerNormPolicy<Source, T, Out, 1, NarrowerRows>;
  if (width > Widest::widest || !source.template fits<vector>() || !terms_fit<vector>(terms) ||
      !result_fits<vector>(out)) {
    launch_with(Loop{}, layer_norm_loop_kernel<Loop>);
  } else if (width == Widest::widest) {
    launch_with(Widest{}, layer_norm_kernel<Widest>);
  } else {
    launch_with(Narrower{}, layer_norm_kernel<Narrower>);
  }
}

}  // namespace norm_detail

/// See the host's layer_norm: same shapes, same errors, same rounding. Runs on device.stream.
template <class In, Element T>
requires Element<std::remove_const_t<In>>
void layer_norm(Device device, TokensView<In> in, std::type_identity_t<const LayerNormTerms<T>&> terms,
                float epsilon, TokensView<T> out) {
  require_norm_result_fits("layer_norm", in, out);
  require_layer_norm_terms("layer_norm", in.batch, in.width, terms);
  norm_detail::launch_layer_norm("layer_norm", device, PlainRows<std::remove_const_t<In>>{in}, terms, epsilon,
                                 in.batch, in.tokens, in.width, out);
}
template <class In, Element T>
requires Element<std::remove_const_t<In>>
void layer_norm(Device device, TokensView<In> in, const LayerNormTerms<T>& terms, float epsilon,
                ScaledTokensView out) {
  require_norm_result_fits("layer_norm", in, out);
  require_layer_norm_terms("layer_norm", in.batch, in.width, terms);
  norm_detail::launch_layer_norm("layer_norm", device, PlainRows<std::remove_const_t<In>>{in}, terms, epsilon,
                                 in.batch, in.tokens, in.width, out);
}

}  // namespace stepvideo
