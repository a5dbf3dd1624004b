// qk_norm_rope on the GPU, behind the same call as on the CPU: every byte is read once and written once.
#pragma once
#include <cstdint>

#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope_any.cuh>
#include <stepvideo/kernels/rope/qk_row.cuh>
#include <stepvideo/kernels/rope/quantized_qk.cuh>
#include <stepvideo/kernels/rope/rope_table.cuh>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

namespace calls {
template <>
inline constexpr bool has_form<QkNormRope, Device> = true;
}  // namespace calls

/// A block makes `tokens` tokens of one head; four lanes have a token's query, key and value in flight at
/// once.
template <class T, int head_dim>
struct QkNormRopePolicy : QkRowPolicy<T, head_dim> {
  static constexpr int threads = 256, blocks_per_multiprocessor = sizeof(T) == 2 ? 2 : 1;
  static constexpr int tokens = threads / QkRowPolicy<T, head_dim>::lanes;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads, Policy::blocks_per_multiprocessor)
    qk_norm_rope_kernel(QkNormRopeParams<typename Policy::Element> params) {
  using T = typename Policy::Element;
  const auto& [packed, norm, table, out] = params;

  // Heads first: neighbouring blocks read a token's row whole.
  const QkTile tile{blockIdx.z, blockIdx.x, index_t{blockIdx.y} * Policy::tokens};
  const int lane = threadIdx.x % Policy::lanes;
  const index_t token = tile.first_token + threadIdx.x / Policy::lanes;
  const bool is_token = token < packed.tokens;  // every lane stays for the exchanges

  QkRow<Policy> heads[2], value;
  if (is_token) {
    const T* source = packed.row(tile.batch, token, tile.head);
    heads[0].load(source, lane);
    heads[1].load(source + Policy::dim, lane);
    if (out.values.data != nullptr) {
      value.load(source + 2 * Policy::dim, lane);
      value.store(out.values.row(tile.batch, token, tile.head), lane);
    }
  }
  heads[0].normalize(norm.query_weight.data, norm.epsilon, lane);
  heads[1].normalize(norm.key_weight.data, norm.epsilon, lane);
  turn_rows(heads, table, RopePosition::of(table, is_token ? token : 0), lane,
            [&](int row, int v, const float(&values)[Policy::vector]) {
              heads[row].vectors[v] = round_pack<T>(values);
            });
  if (is_token) {
    heads[0].store(out.queries.row(tile.batch, token, tile.head), lane);
    heads[1].store(out.keys.row(tile.batch, token, tile.head), lane);
  }
}

namespace rope_detail {

template <int vector, class... Views>
bool heads_fit(const Views&... views) {
  return (packs_fit<vector>(views.data, views.batch_stride, views.token_stride, views.head_stride) && ...);
}
template <class Policy, class T>
bool fits_rows(HeadsView<const T> packed, const QkNorm<T>& norm, const RopeTableView& table) {
  return turns_fit<Policy>(table) && packed.tokens <= longest_grid_run * Policy::tokens &&
         heads_fit<Policy::vector>(packed) && packs_fit<Policy::vector>(norm.query_weight.data) &&
         packs_fit<Policy::vector>(norm.key_weight.data);
}

}  // namespace rope_detail

/// See the host's: same shapes, same errors, same roundings. Runs on device.stream. Heads of 64 and 128
/// channels with the model's split and 16-byte aligned rows take the fast path.
template <Element T>
void qk_norm_rope(Device device, std::type_identity_t<HeadsView<const T>> packed, const QkNorm<T>& norm,
                  const RopeTableView& table, const QkvOutput<std::type_identity_t<T>>& out) {
  require_qk_norm_rope_shapes(packed, norm, table, out);
  if (element_count(packed) == 0) return;
  const QkNormRopeParams<T> params{packed, norm, table, out};
  const auto launch_if_it_fits = [&](auto policy) {
    using Policy = decltype(policy);
    if (!rope_detail::fits_rows<Policy>(packed, norm, table) ||
        !rope_detail::heads_fit<Policy::vector>(out.queries, out.keys, out.values))
      return false;
    const auto tiles = static_cast<unsigned>((packed.tokens + Policy::tokens - 1) / Policy::tokens);
    for_each_grid_run(packed.batch, [&](index_t first, unsigned count) {
      launch({.grid = dim3(grid_blocks("qk_norm_rope", packed.heads), tiles, count),
              .block = Policy::threads,
              .stream = device.stream},
             qk_norm_rope_kernel<Policy>, params.from(first));
    });
    return true;
  };
  if (launch_if_it_fits(QkNormRopePolicy<T, 128>{}) || launch_if_it_fits(QkNormRopePolicy<T, 64>{})) return;
  rope_detail::qk_norm_rope_any(device, params);
}

/// The fp8 form; the scale of a block is found by the block of threads that writes it.
template <Element T>
void qk_norm_rope(Device device, std::type_identity_t<HeadsView<const T>> packed, const QkNorm<T>& norm,
                  const RopeTableView& table, const QuantizedQkOutput& out) {
  require_qk_norm_rope_shapes(packed, norm, table, out);
  if (element_count(packed) == 0) return;
  const QuantizedQkParams<T> params{packed, norm, table, out};
  const auto launch_if_it_fits = [&](auto policy) {
    using Policy = decltype(policy);
    if (!rope_detail::fits_rows<Policy>(packed, norm, table) ||
        !rope_detail::heads_fit<Policy::vector>(out.queries.values, out.keys.values))
      return false;
    launch_quantized_qk<Policy>(device, params);
    return true;
  };
  if (launch_if_it_fits(QuantizedQkPolicy<T, 128>{}) || launch_if_it_fits(QuantizedQkPolicy<T, 64>{})) return;
  rope_detail::quantized_qk_any(device, params);
}

}  // namespace stepvideo
