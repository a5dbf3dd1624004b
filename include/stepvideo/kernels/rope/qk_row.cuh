// A query's or a key's head in the registers of four lanes: normed, turned, rotated.
#pragma once
#include <cuda/warp>

#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/rope/rope.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// Lanes take vectors of eight channels in turn: 64 neighbouring bytes of a row at a time, and of the two
/// channels that turn together the second is in the same lane or in one a power of two away.
template <Element T, int head_dim>
struct QkRowPolicy {
  using Element = T;
  static constexpr int dim = head_dim, lanes = 4, vector = 8, vectors = dim / (lanes * vector);
  using Elements = Pack<T, vector>;
  static_assert(dim == 64 || dim == 128);
};

/// Whether a table has the split of heads of Policy::dim, in words that packs may load.
template <class Policy>
bool turns_fit(const RopeTableView& table) {
  const auto fits = [](const RopeAxis& axis, index_t channels) {
    return axis.pairs == channels / 2 && packs_fit<4>(axis.cosines) && packs_fit<4>(axis.sines);
  };
  constexpr index_t dim = Policy::dim;
  return table.dim == dim && fits(table.frame, dim / 2) && fits(table.row, dim / 4) &&
         fits(table.column, dim / 4);
}

/// The lane's share of a row.
template <class Policy>
struct QkRow {
  using T = typename Policy::Element;
  using Elements = typename Policy::Elements;
  static constexpr int vector = Policy::vector;

  Elements vectors[Policy::vectors] = {};

  __device__ static int channel(int lane, int v) { return (lane + v * Policy::lanes) * vector; }

  __device__ void load(const T* source, int lane) {
#pragma unroll
    for (int v = 0; v < Policy::vectors; ++v) vectors[v] = load_pack_once<vector>(source + channel(lane, v));
  }
  __device__ void store(T* target, int lane) const {
#pragma unroll
    for (int v = 0; v < Policy::vectors; ++v) store_pack_once(target + channel(lane, v), vectors[v]);
  }

  /// RMSNorm with the host's roundings; every lane of the warp takes part.
  __device__ void normalize(const T* weight, float epsilon, int lane) {
    float values[Policy::vectors][vector], squares = 0;
#pragma unroll
    for (int v = 0; v < Policy::vectors; ++v) {
      widen_pack(vectors[v], values[v]);
#pragma unroll
      for (const float value : values[v]) squares += value * value;
    }
    // Two exchanges: CUB's reduction and the broadcast of its result take five times the instructions, and
    // these kernels are short of them (bf16 went from 88 to 91 % of the copy's bandwidth without).
#pragma unroll
    for (int distance = 1; distance < Policy::lanes; distance *= 2)
      squares += ::cuda::device::warp_shuffle_xor<Policy::lanes>(squares, distance).data;
    const float scale = rsqrtf(squares / Policy::dim + epsilon);
#pragma unroll
    for (int v = 0; v < Policy::vectors; ++v) {
#pragma unroll
      for (float& value : values[v]) value *= scale;
      vectors[v] = multiply_packs(round_pack<T>(values[v]), load_pack<vector>(weight + channel(lane, v)));
    }
  }
};

/// Turns rows that are heads of one token and calls finish(row, v, values) with what becomes of each vector;
/// every lane of the warp takes part. `finish` may overwrite the vector that it is told of.
template <class Policy, int rows, class Finish>
__device__ void turn_rows(const QkRow<Policy> (&heads)[rows], const RopeTableView& table,
                          const RopePosition& position, int lane, Finish&& finish) {
  constexpr int vector = Policy::vector, lanes = Policy::lanes;
#pragma unroll
  for (int v = 0; v < Policy::vectors; ++v) {
    const bool is_frame = v < Policy::vectors / 2;
    // Between the vectors of a pair lie this many vectors.
    const int distance = Policy::dim / vector / (is_frame ? 4 : 8), vectors_apart = distance / lanes;
    if (v & vectors_apart) continue;  // turned with its partner

    const int at = lane + v * lanes;
    const bool is_row = !is_frame && (at & Policy::dim / 32) == 0;
    const RopeAxis& axis = is_frame ? table.frame : is_row ? table.row : table.column;
    const int place = is_frame ? position.frame : is_row ? position.row : position.column;
    const int first = place * distance * vector + (at & (distance - 1)) * vector;
    const auto cosines = load_pack<vector>(axis.cosines + first),
               sines = load_pack<vector>(axis.sines + first);
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const QkRow<Policy>& head = heads[r];
      float own[vector], other[vector], turned[vector];
      widen_pack(head.vectors[v], own);
      if (vectors_apart > 0) {
        widen_pack(head.vectors[v + vectors_apart], other);
#pragma unroll
        for (int i = 0; i < vector; ++i)
          turned[i] = other[i] * cosines.elements[i] + own[i] * sines.elements[i];
        finish(r, v + vectors_apart, turned);
#pragma unroll
        for (int i = 0; i < vector; ++i)
          turned[i] = own[i] * cosines.elements[i] - other[i] * sines.elements[i];
      } else {
        const auto exchanged = ::cuda::device::warp_shuffle_xor<lanes>(head.vectors[v], distance);
        widen_pack(exchanged.data, other);
        const float sign = lane & distance ? 1.0f : -1.0f;
#pragma unroll
        for (int i = 0; i < vector; ++i)
          turned[i] = own[i] * cosines.elements[i] + other[i] * (sign * sines.elements[i]);
      }
      finish(r, v, turned);
    }
  }
}

}  // namespace stepvideo
