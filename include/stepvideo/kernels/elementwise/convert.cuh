// From one element type to another on the GPU, behind the same call as on the CPU.
#pragma once
#include <algorithm>
#include <concepts>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<Convert, Device> = true;
}  // namespace calls

/// A block takes a row, `chunk` channels at a time: the model's width is one chunk, whose loads are all on
/// their way before the first is used, as in the norms' kernels.
template <class FromElement, class ToElement, class FunctionType, int vector_elements>
struct ConvertPolicy {
  using From = FromElement;
  using To = ToElement;
  using Function = FunctionType;
  static constexpr int vector = vector_elements, packs = 6;
  static constexpr int threads = vector >= 8 ? 128 : 256, chunk = threads * packs * vector;
};

template <class Policy>
struct ConvertParams {
  TokensView<const typename Policy::From> in;
  TokensView<typename Policy::To> out;
  int width;
  typename Policy::Function function;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) convert_kernel(ConvertParams<Policy> params) {
  constexpr int vector = Policy::vector, packs = Policy::packs;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const auto* source = params.in.row(batch, token);
  auto* target = params.out.row(batch, token);
  for (int first = 0; first < params.width; first += Policy::chunk) {
    const auto for_each_pack = [&](auto&& body) {
#pragma unroll
      for (int p = 0; p < packs; ++p) {
        const PackColumn column{first + static_cast<int>(threadIdx.x) * vector, p * Policy::threads * vector};
        if (column.is_within(params.width)) body(p, column);
      }
    };
    Pack<typename Policy::From, vector> loaded[packs];
    for_each_pack([&](int p, PackColumn column) { loaded[p] = load_pack_once<vector>(column.of(source)); });
    for_each_pack([&](int p, PackColumn column) {
      float values[vector];
      widen_pack(loaded[p], values);
#pragma unroll
      for (float& value : values) value = params.function(value);
      store_pack_once(column.of(target), round_pack<typename Policy::To>(values));
    });
  }
}

/// See the host's convert: same shapes, same errors. Runs on device.stream, and so does the function.
template <Element From, Element To, class Function = Identity>
void convert(Device device, TokensView<const From> in, TokensView<To> out, Function function = {}) {
  require_convert_shapes(in, out);
  if (in.tokens == 0 || in.width == 0) return;
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    for_each_grid_run(in.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(grid_blocks("convert", in.tokens), count),
              .block = Policy::threads,
              .stream = device.stream},
             convert_kernel<Policy>,
             ConvertParams<Policy>{from_batch(in, first), from_batch(out, first),
                                   row_channels("convert", in.width), function});
    });
  };
  constexpr int vector = widest_access_bytes / static_cast<int>(std::max(sizeof(From), sizeof(To)));
  if (packs_fit<vector>(in.data, in.width, in.batch_stride, in.token_stride) &&
      packs_fit<vector>(out.data, out.batch_stride, out.token_stride)) {
    launch_with(ConvertPolicy<From, To, Function, vector>{});
  } else {
    launch_with(ConvertPolicy<From, To, Function, 1>{});
  }
}

/// A block takes all heads of a token, a pack of one head a thread at a time.
template <class FromElement, class ToElement, int vector_elements>
struct ConvertHeadsPolicy {
  using From = FromElement;
  using To = ToElement;
  static constexpr int vector = vector_elements, threads = 256;
};

template <class Policy>
struct ConvertHeadsParams {
  HeadsView<const typename Policy::From> in;
  HeadsView<typename Policy::To> out;
  int width;  ///< of all heads together
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) convert_heads_kernel(ConvertHeadsParams<Policy> params) {
  constexpr int vector = Policy::vector;
  const index_t batch = blockIdx.y, token = blockIdx.x;
  const int dim = static_cast<int>(params.in.dim);
  for (int column = static_cast<int>(threadIdx.x) * vector; column < params.width;
       column += Policy::threads * vector) {
    const int head = column / dim, channel = column % dim;
    const auto loaded = load_pack_once<vector>(params.in.row(batch, token, head) + channel);
    auto* const target = params.out.row(batch, token, head) + channel;
    if constexpr (std::same_as<typename Policy::From, typename Policy::To>) {
      store_pack(target, loaded);
    } else {
      float values[vector];
      widen_pack(loaded, values);
      store_pack(target, round_pack<typename Policy::To>(values));
    }
  }
}

/// See the host's convert of heads: same shapes, same errors. Runs on device.stream.
template <Element From, Element To>
void convert(Device device, HeadsView<const From> in, HeadsView<To> out) {
  require_convert_shapes(in, out);
  if (in.batch * in.tokens * in.heads * in.dim == 0) return;
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    for_each_grid_run(in.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(grid_blocks("convert", in.tokens), count),
              .block = Policy::threads,
              .stream = device.stream},
             convert_heads_kernel<Policy>,
             ConvertHeadsParams<Policy>{from_batch(in, first), from_batch(out, first),
                                        row_channels("convert", in.heads * in.dim)});
    });
  };
  constexpr int vector = widest_access_bytes / static_cast<int>(std::max(sizeof(From), sizeof(To)));
  const auto fits = [](const auto& view) {
    return packs_fit<vector>(view.data, view.dim, view.batch_stride, view.token_stride, view.head_stride);
  };
  if (fits(in) && fits(out))
    launch_with(ConvertHeadsPolicy<From, To, vector>{});
  else
    launch_with(ConvertHeadsPolicy<From, To, 1>{});
}

}  // namespace stepvideo
