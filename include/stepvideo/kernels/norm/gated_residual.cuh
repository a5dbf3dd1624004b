// The gated residual on the GPU, behind the same call as on the CPU.
#pragma once
#include <type_traits>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/gated_residual.hpp>
#include <stepvideo/kernels/norm/layer_norm_rows.cuh>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<GatedResidual, Device> = true;
}  // namespace calls

/// The rows of a residual stream, to which gate * delta is added before they are normalised.
template <class Delta, class Stream>
struct GatedRows {
  static constexpr int widest_element = sizeof(Delta) > sizeof(Stream) ? sizeof(Delta) : sizeof(Stream);
  TokensView<const Delta> delta;
  MatrixView<const float> gate;
  TokensView<Stream> stream;

  template <int count>
  struct Loaded {
    Pack<Stream, count> stream;
    Pack<Delta, count> delta;
  };

  template <int count>
  __device__ Loaded<count> load(index_t batch, index_t token, PackColumn column) const {
    return {load_pack_once<count>(column.of(stream.row(batch, token))),
            load_pack_once<count>(column.of(delta.row(batch, token)))};
  }
  /// As the stream will hold them.
  template <int count>
  __device__ void evaluate(const Loaded<count>& loaded, index_t batch, PackColumn column,
                           float (&values)[count]) const {
    float gates[count];
#pragma unroll
    for (int e = 0; e < count; ++e) gates[e] = 1;
    if (gate.data != nullptr) widen_pack(load_constant_pack<count>(column.of(gate.row(batch))), gates);
#pragma unroll
    for (int e = 0; e < count; ++e)
      values[e] = float(loaded.stream.elements[e]) + gates[e] * float(loaded.delta.elements[e]);
    widen_pack(round_pack<Stream>(values), values);
  }
  template <int count>
  __device__ void keep(index_t batch, index_t token, PackColumn column, const float (&values)[count]) const {
    store_pack_once(column.of(stream.row(batch, token)), round_pack<Stream>(values));
  }
  __device__ float again(index_t batch, index_t token, PackColumn column) const {
    return float(*column.of(stream.row(batch, token)));
  }

  /// The rows of the batch elements from `first` on.
  GatedRows from(index_t first) const {
    return {from_batch(delta, first), from_batch(gate, first), from_batch(stream, first)};
  }
  template <int count>
  bool fits() const {
    return packs_fit<count>(stream.data, stream.width, stream.batch_stride, stream.token_stride) &&
           packs_fit<count>(delta.data, delta.batch_stride, delta.token_stride) &&
           packs_fit<count>(gate.data, gate.row_stride);
  }
};

/// A block takes a row, `chunk` channels at a time: the model's width is one chunk, whose loads are all on
/// their way before the first is used. Threads and blocks as in LayerNorm's kernel, which with the same bytes
/// and two reductions more reaches 96 % of the device copy on an H200.
template <class Delta, class Stream, class OutView, int vector_elements>
struct GatedResidualPolicy {
  using Source = GatedRows<Delta, Stream>;
  using Out = OutView;
  static constexpr int vector = vector_elements, packs = 6;
  static constexpr int threads = LayerNormTuning<vector>::threads, blocks = LayerNormTuning<vector>::blocks;
  static constexpr int chunk = threads * packs * vector;
};

template <class Policy>
struct GatedResidualParams {
  typename Policy::Source source;
  typename Policy::Out out;
  int width;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks)
    gated_residual_kernel(GatedResidualParams<Policy> params) {
  constexpr int vector = Policy::vector, packs = Policy::packs;
  const auto& source = params.source;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  for (int first = 0; first < params.width; first += Policy::chunk) {
    const auto for_each_pack = [&](auto&& body) {
#pragma unroll
      for (int p = 0; p < packs; ++p) {
        const PackColumn column{first + static_cast<int>(threadIdx.x) * vector, p * Policy::threads * vector};
        if (column.is_within(params.width)) body(p, column);
      }
    };
    typename Policy::Source::template Loaded<vector> loaded[packs];
    for_each_pack(
        [&](int p, PackColumn column) { loaded[p] = source.template load<vector>(batch, token, column); });
    for_each_pack([&](int p, PackColumn column) {
      float values[vector];
      source.template evaluate<vector>(loaded[p], batch, column, values);
      source.template keep<vector>(batch, token, column, values);
      if (params.out.data != nullptr) norm_detail::store_rounded(params.out, batch, token, column, values);
    });
  }
}

/// With fp8 rows out, rows of up to a chunk: in registers until their largest magnitude is known.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks)
    scaled_gated_residual_kernel(GatedResidualParams<Policy> params) {
  constexpr int vector = Policy::vector, packs = Policy::packs;
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const auto& source = params.source;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto for_each_pack = [&](auto&& body) {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const PackColumn column{static_cast<int>(threadIdx.x) * vector, p * Policy::threads * vector};
      if (column.is_within(params.width)) body(p, column);
    }
  };
  typename Policy::Source::template Loaded<vector> loaded[packs];
  for_each_pack(
      [&](int p, PackColumn column) { loaded[p] = source.template load<vector>(batch, token, column); });
  float x[packs][vector], largest = 0;
  for_each_pack([&](int p, PackColumn column) {
    source.template evaluate<vector>(loaded[p], batch, column, x[p]);
    source.template keep<vector>(batch, token, column, x[p]);
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

/// Wider rows, and those off the packs' grid: the stream is read again.
template <class Policy>
__global__ void __launch_bounds__(Policy::threads)
    scaled_gated_residual_loop_kernel(GatedResidualParams<Policy> params) {
  __shared__ typename BlockAllReduce<Policy::threads>::Storage storage;
  BlockAllReduce<Policy::threads> reduce(storage);

  const auto& source = params.source;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto for_each_column = [&](auto&& body) {
    for (int i = threadIdx.x; i < params.width; i += Policy::threads) body(PackColumn{i});
  };
  float largest = 0;
  for_each_column([&](PackColumn column) {
    float x[1];
    source.template evaluate<1>(source.template load<1>(batch, token, column), batch, column, x);
    source.template keep<1>(batch, token, column, x);
    largest = LargerMagnitudeOfLane{}(largest, x[0]);
  });
  const Fp8Scale scale = Fp8Scale::of(reduce(largest, LargerMagnitudeOfLane{}));
  if (threadIdx.x == 0) params.out.scale(batch, token) = scale.scale;
  for_each_column([&](PackColumn column) {
    norm_detail::store_rounded<1>(params.out.values, batch, token, column,
                                  {scale(source.again(batch, token, column))});
  });
}

namespace norm_detail {

template <class Policy>
void launch_gated_residual(Device device, void (*kernel)(GatedResidualParams<Policy>),
                           const typename Policy::Source& source, const typename Policy::Out& out) {
  const auto& stream = source.stream;
  for_each_grid_run(stream.batch, [&](index_t first, unsigned count) {
    launch({.grid = dim3(grid_blocks("gated_residual", stream.tokens), count),
            .block = Policy::threads,
            .stream = device.stream},
           kernel,
           GatedResidualParams<Policy>{source.from(first), from_batch(out, first),
                                       row_channels("gated_residual", stream.width)});
  });
}

}  // namespace norm_detail

/// See the host's gated_residual: same shapes, same errors, the same bits. Runs on device.stream.
template <class Delta, Element Stream, Element T>
requires Element<std::remove_const_t<Delta>>
void gated_residual(Device device, TokensView<Delta> delta, MatrixView<const float> gate,
                    TokensView<Stream> stream, TokensView<T> out) {
  require_gated_residual_shapes(delta, gate, stream, out);
  if (stream.tokens == 0 || stream.width == 0) return;
  using From = std::remove_const_t<Delta>;
  using Source = GatedRows<From, Stream>;
  const Source source{delta, gate, stream};
  constexpr int vector = widest_access_bytes / Source::widest_element;
  using Fast = GatedResidualPolicy<From, Stream, TokensView<T>, vector>;
  using Loop = GatedResidualPolicy<From, Stream, TokensView<T>, 1>;
  if (source.template fits<vector>() && norm_detail::result_fits<vector>(out)) {
    norm_detail::launch_gated_residual(device, gated_residual_kernel<Fast>, source, out);
  } else {
    norm_detail::launch_gated_residual(device, gated_residual_kernel<Loop>, source, out);
  }
}
template <class Delta, Element Stream>
requires Element<std::remove_const_t<Delta>>
void gated_residual(Device device, TokensView<Delta> delta, MatrixView<const float> gate,
                    TokensView<Stream> stream, ScaledTokensView out) {
  require_gated_residual_shapes(delta, gate, stream, out);
  if (stream.tokens == 0) return;
  using From = std::remove_const_t<Delta>;
  using Source = GatedRows<From, Stream>;
  const Source source{delta, gate, stream};
  constexpr int vector = widest_access_bytes / Source::widest_element;
  using Fast = GatedResidualPolicy<From, Stream, ScaledTokensView, vector>;
  using Loop = GatedResidualPolicy<From, Stream, ScaledTokensView, 1>;
  if (stream.width <= Fast::chunk && source.template fits<vector>() &&
      norm_detail::result_fits<vector>(out)) {
    norm_detail::launch_gated_residual(device, scaled_gated_residual_kernel<Fast>, source, out);
  } else {
    norm_detail::launch_gated_residual(device, scaled_gated_residual_loop_kernel<Loop>, source, out);
  }
}

}  // namespace stepvideo
