// From the packed result of the qkv projection to what attention reads: RMSNorm of queries and keys, 3D
// rotary embedding, and the layout in memory, in one pass.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/rope/rope.hpp>
#include <stepvideo/kernels/tile/hadamard.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/rms_row.hpp>

namespace stepvideo {

/// The norms of queries and keys: weights of one element a channel, shared by the heads.
template <class T>
struct QkNorm {
  VectorView<const T> query_weight, key_weight;
  float epsilon = 1e-6f;
};

/// Where qk_norm_rope writes, each (batch, tokens, heads, dim) with strides of its own: token-major,
/// head-major, or a rank's slice of an all-to-all. Without data, `values` stay where they are: attention
/// reads them there.
template <class T>
struct QkvOutput {
  HeadsView<T> queries, keys, values = {};
};

/// What turns queries and keys before they are quantised. Scores are as they were; outliers are not.
enum class HeadRotation { none, hadamard };

/// Queries and keys for fp8 attention; values stay where they are.
struct QuantizedQkOutput {
  QuantizedHeads<fp8_e4m3> queries, keys;
  HeadRotation rotation = HeadRotation::none;
};

namespace rope_detail {

/// Head dimensions up to this are built for fp8.
inline constexpr index_t max_quantized_dim = 512;

template <class T>
void require_qk_inputs(HeadsView<const T> packed, const QkNorm<T>& norm, const RopeTableView& table) {
  require(packed.dim == 3 * table.dim, [&] {
    return "qk_norm_rope: a packed head has " + std::to_string(packed.dim) +
           " channels and the table turns " + std::to_string(table.dim) + "; it must be [q | k | v] of these";
  });
  require_data("qk_norm_rope", "packed", packed);
  require_rope_shapes(
      HeadsView<const T>{packed.data, packed.batch, packed.tokens, packed.heads, table.dim, 0, 0, 0}, table);
  const auto require_weight = [&](const VectorView<const T>& weight) {
    require(weight.size == table.dim, [&] {
      return "qk_norm_rope: a norm's weight has " + std::to_string(weight.size) +
             " elements and a head has " + std::to_string(table.dim) + "; they must be equal";
    });
  };
  require_weight(norm.query_weight);
  require_weight(norm.key_weight);
  require_data("qk_norm_rope", "the queries' weight", norm.query_weight);
  require_data("qk_norm_rope", "the keys' weight", norm.key_weight);
}

template <class T, class Out>
void require_qk_result(const char* name, HeadsView<const T> packed, HeadsView<Out> out) {
  require(out.batch == packed.batch && out.tokens == packed.tokens && out.heads == packed.heads &&
              out.dim == packed.dim / 3,
          [&] {
            return std::string("qk_norm_rope: ") + name + " are " + shape_text(out) + "; packed needs " +
                   extents_text({packed.batch, packed.tokens, packed.heads, packed.dim / 3});
          });
  require_data("qk_norm_rope", name, out);
}

/// [q | k | v][part] of each packed head.
template <class T>
HeadsView<T> packed_part(HeadsView<T> packed, index_t part) {
  packed.dim /= 3;
  packed.data += part * packed.dim;
  return packed;
}

}  // namespace rope_detail

/// What qk_norm_rope requires, on any execution. Throws RequestError naming what disagrees.
template <class T>
void require_qk_norm_rope_shapes(HeadsView<const T> packed, const QkNorm<T>& norm, const RopeTableView& table,
                                 const QkvOutput<T>& out) {
  rope_detail::require_qk_inputs(packed, norm, table);
  rope_detail::require_qk_result("queries", packed, out.queries);
  rope_detail::require_qk_result("keys", packed, out.keys);
  if (out.values.data != nullptr) rope_detail::require_qk_result("values", packed, out.values);
}
template <class T>
void require_qk_norm_rope_shapes(HeadsView<const T> packed, const QkNorm<T>& norm, const RopeTableView& table,
                                 const QuantizedQkOutput& out) {
  rope_detail::require_qk_inputs(packed, norm, table);
  rope_detail::require_qk_result("queries", packed, out.queries.values);
  rope_detail::require_qk_result("keys", packed, out.keys.values);
  require_scales_fit("queries", out.queries);
  require_scales_fit("keys", out.keys);
  require_data("qk_norm_rope", "the queries' scales", out.queries.scales);
  require_data("qk_norm_rope", "the keys' scales", out.keys.scales);
  require(table.dim <= rope_detail::max_quantized_dim, [&] {
    return "qk_norm_rope: heads of " + std::to_string(table.dim) + " channels are not built for fp8; up to " +
           std::to_string(rope_detail::max_quantized_dim) + " are";
  });
  require(out.rotation == HeadRotation::none || has_hadamard(table.dim), [&] {
    return "qk_norm_rope: heads of " + std::to_string(table.dim) +
           " channels have no Hadamard rotation; powers of two have";
  });
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// queries and keys = rope3d(rms_norm(q and k of packed)), values = v of packed. `packed` is (batch, tokens,
/// heads, [q | k | v] dim), any strides; results may take the place of their own inputs and must not overlap
/// them otherwise. Rounds to T where rms_norm and rope3d would, so results are theirs. Throws RequestError
/// where shapes disagree.
template <HostElement T>
void qk_norm_rope(Host, std::type_identity_t<HeadsView<const T>> packed, const QkNorm<T>& norm,
                  const RopeTableView& table, const QkvOutput<std::type_identity_t<T>>& out) {
  require_qk_norm_rope_shapes(packed, norm, table, out);
  const index_t rows = packed.batch * packed.tokens, dim = table.dim;
#pragma omp parallel for schedule(static)
  for (index_t row = 0; row < rows; ++row) {
    const index_t batch = row / packed.tokens, token = row % packed.tokens;
    const auto position = RopePosition::of(table, token);
    for (index_t head = 0; head < packed.heads; ++head) {
      const T* source = packed.row(batch, token, head);
      T *query = out.queries.row(batch, token, head), *key = out.keys.row(batch, token, head);
      rms_norm_row(source, norm.query_weight.data, dim, norm.epsilon, query);
      rms_norm_row(source + dim, norm.key_weight.data, dim, norm.epsilon, key);
      rope_detail::turn_head(query, table, position);
      rope_detail::turn_head(key, table, position);
      if (out.values.data != nullptr && out.values.row(batch, token, head) != source + 2 * dim)
        std::copy_n(source + 2 * dim, dim, out.values.row(batch, token, head));
    }
  }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::rope_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// One row as fp8 quantises it: normed as T and turned in float32; a rotation takes the turned row as T,
/// which is what the GPU's matrix units take.
template <class T>
void make_row(const T* source, VectorView<const T> weight, float epsilon, const RopeTableView& table,
              index_t token, HeadRotation rotation, float* row) {
  T normed[max_quantized_dim];
  rms_norm_row(source, weight.data, weight.size, epsilon, normed);
  std::copy_n(normed, weight.size, row);
  turn_head(row, table, RopePosition::of(table, token));
  if (rotation == HeadRotation::none) return;
  for (index_t i = 0; i < weight.size; ++i) row[i] = float(T(row[i]));
  hadamard(row, weight.size);
}

/// Finds the block's scale, then makes its rows again to store them.
template <class T>
void quantize_block(HeadsView<const T> in, VectorView<const T> weight, float epsilon,
                    const RopeTableView& table, const QuantizedHeads<fp8_e4m3>& out, HeadRotation rotation,
                    index_t batch, index_t block, index_t head) {
  const index_t first = block * quantization_block_tokens;
  const index_t last = std::min(in.tokens, first + quantization_block_tokens);
  float row[max_quantized_dim];
  float largest = 0;
  for (index_t token = first; token < last; ++token) {
    make_row(in.row(batch, token, head), weight, epsilon, table, token, rotation, row);
    for (index_t i = 0; i < in.dim; ++i) largest = std::max(largest, std::fabs(row[i]));
  }
  const auto [scale, inverse] = Fp8Scale::of(largest);
  out.scale(batch, block, head) = scale;
  for (index_t token = first; token < last; ++token) {
    make_row(in.row(batch, token, head), weight, epsilon, table, token, rotation, row);
    fp8_e4m3* target = out.values.row(batch, token, head);
    for (index_t i = 0; i < in.dim; ++i) round_into(target[i], row[i] * inverse);
  }
}

}  // namespace stepvideo::rope_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// The same queries and keys, rotated if asked, in fp8 with a scale for each head and block of tokens. The
/// results must not overlap `packed`.
template <HostElement T>
void qk_norm_rope(Host, std::type_identity_t<HeadsView<const T>> packed, const QkNorm<T>& norm,
                  const RopeTableView& table, const QuantizedQkOutput& out) {
  require_qk_norm_rope_shapes(packed, norm, table, out);
  const index_t blocks = quantization_blocks(packed.tokens), tiles = packed.batch * blocks * packed.heads;
#pragma omp parallel for schedule(static)
  for (index_t tile = 0; tile < tiles; ++tile) {
    const index_t head = tile % packed.heads, block = tile / packed.heads % blocks,
                  batch = tile / packed.heads / blocks;
    rope_detail::quantize_block(rope_detail::packed_part(packed, 0), norm.query_weight, norm.epsilon, table,
                                out.queries, out.rotation, batch, block, head);
    rope_detail::quantize_block(rope_detail::packed_part(packed, 1), norm.key_weight, norm.epsilon, table,
                                out.keys, out.rotation, batch, block, head);
  }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct QkNormRope;

template <class Norm>
struct NormElement {
  using type = void;
};
template <class T>
struct NormElement<QkNorm<T>> {
  using type = T;
};

template <class E, class Packed, class Norm, class Out>
constexpr Mistake find_qk_norm_rope_mistake() {
  using T = typename NormElement<Norm>::type;
  if constexpr (!First<E> || std::same_as<T, void>) {
    return Mistake::no_terms;
  } else {
    const bool is_fp8 = std::same_as<Out, QuantizedQkOutput>;
    return first_of(
        {execution_mistake<E, QkNormRope>,
         Element<T> && is_computed<E, T> ? Mistake::none : Mistake::operand_the_kernel_does_not_take,
         operand_mistake<HeadsView, T, Packed>,
         std::same_as<Out, QkvOutput<const T>> ? Mistake::result_of_const_elements
         : is_fp8 || is_view<QkvOutput, Out>   ? Mistake::none
                                               : Mistake::result_of_another_kind,
         is_fp8 || std::same_as<Out, QkvOutput<T>> ? Mistake::none : Mistake::operand_of_another_element});
  }
}
template <class E, class Packed, class Norm, class Out>
inline constexpr Mistake qk_norm_rope_mistake = find_qk_norm_rope_mistake<E, Packed, Norm, Out>();
}  // namespace calls

/// Every call of qk_norm_rope that cannot be, to say why.
template <class E, class Packed, class Norm, class Out>
requires calls::Mistaken<calls::qk_norm_rope_mistake<E, Packed, Norm, Out>, E>
void qk_norm_rope(const E&, const Packed&, const Norm&, const RopeTableView&, const Out&) {
  constexpr auto mistake = calls::qk_norm_rope_mistake<E, Packed, Norm, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "qk_norm_rope on a Device is in <stepvideo/kernels/rope/qk_norm_rope.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, Packed, Norm, Out>();
}

}  // namespace stepvideo
