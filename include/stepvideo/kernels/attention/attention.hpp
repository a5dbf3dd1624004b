// Attention over any number of tokens, in memory linear in it.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/attention/host_attention.hpp>
#include <stepvideo/kernels/attention/mask.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/partition.hpp>

namespace stepvideo {

/// What attention may be told beyond its views and its mask.
struct AttentionOptions {
  /// What products of queries and keys are multiplied with, a finite number; without one, 1 / sqrt(dim).
  std::optional<float> scale{};
  /// (batch, query tokens, query heads, 1), or no data: log(sum over the visible keys of exp(score)), minus
  /// infinity where there is none. What merge_attention needs.
  HeadsView<float> log_sum_exp{};
  /// Of a GPU's multiprocessors, how many are left to others: beside a kernel that fills the chip no other
  /// runs, a collective of NCCL among them. Kept by the kernels that stay on their multiprocessors
  /// (AttentionKernel::warpgroup and fp8_attention); the others give way block by block.
  int spare_multiprocessors = 0;

  /// The scale for heads of `dim` channels.
  float scale_for(index_t dim) const { return scale.value_or(1.0f / std::sqrt(static_cast<float>(dim))); }
};

/// What attention requires of extents and options, on any execution. Throws RequestError naming the view that
/// disagrees.
template <class T, class Out>
void require_attention_shapes(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                              HeadsView<Out> out, const AttentionOptions& options) {
  require(queries.batch == keys.batch && queries.dim == keys.dim && queries.dim > 0, [&] {
    return "attention: queries are " + shape_text(queries) + " and keys " + shape_text(keys) +
           "; batch and head dimension must be equal";
  });
  require(keys.heads > 0 && queries.heads % keys.heads == 0, [&] {
    return "attention: " + std::to_string(queries.heads) + " query heads cannot share " +
           std::to_string(keys.heads) + " key heads; the number of query heads must be a multiple of it";
  });
  require(values.batch == keys.batch && values.tokens == keys.tokens && values.heads == keys.heads &&
              values.dim == keys.dim,
          [&] {
            return "attention: keys are " + shape_text(keys) + " and values " + shape_text(values) +
                   "; they must agree";
          });
  const auto fits_queries = [&](const auto& view, index_t dim) {
    return view.batch == queries.batch && view.tokens == queries.tokens && view.heads == queries.heads &&
           view.dim == dim;
  };
  require(fits_queries(out, queries.dim), [&] {
    return "attention: queries are " + shape_text(queries) + " and out is " + shape_text(out) +
           "; they must agree";
  });
  require(options.log_sum_exp.data == nullptr || fits_queries(options.log_sum_exp, 1), [&] {
    return "attention: queries are " + shape_text(queries) + " and log_sum_exp is " +
           shape_text(options.log_sum_exp) + "; it has one value for each query and head";
  });
  require(options.spare_multiprocessors >= 0, [&] {
    return "attention: " + std::to_string(options.spare_multiprocessors) +
           " multiprocessors cannot be left free; 0 or more can";
  });
  require(std::isfinite(options.scale_for(queries.dim)), [&] {
    return "attention: the scale is " + std::to_string(*options.scale) + "; a finite one works";
  });
}

/// What a call of attention requires, on any execution: the shapes, data where there are elements, a mask
/// that fits. Throws RequestError; touches no element.
template <class T, AttentionMask Mask, class Out>
void require_attention_call(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                            const Mask& mask, HeadsView<Out> out, const AttentionOptions& options) {
  require_attention_shapes<T>(queries, keys, values, out, options);
  require_mask_fits(mask, queries.batch, queries.heads);
  require_data("attention: queries", queries);
  require_data("attention: keys", keys);
  require_data("attention: values", values);
  require_data("attention: the results", out);
}

/// What a part of attention requires beyond that, on any execution.
inline void require_partial_attention(const AttentionOptions& options) {
  require(options.log_sum_exp.data != nullptr,
          [] { return "partial_attention: log_sum_exp has no data; parts are merged by it"; });
}

}  // namespace stepvideo

namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Attention for results of T, or of float32 where they are to be merged.
template <class T, class Mask, class Out>
void attend(HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values, const Mask& mask,
            HeadsView<Out> out, const AttentionOptions& options) {
  require_attention_call<T>(queries, keys, values, mask, out, options);
  require(queries.dim <= host_attention_max_dim, [&] {
    return "attention: a head of " + std::to_string(queries.dim) + " channels is wider than the host's " +
           std::to_string(host_attention_max_dim);
  });
  const Partition tiles(queries.tokens, TilePolicy::queries, simd_floats);
  const index_t heads_per_group = queries.heads / keys.heads;
  const float scale = options.scale_for(queries.dim);
#pragma omp parallel for collapse(3) schedule(dynamic)
  for (index_t batch = 0; batch < queries.batch; ++batch)
    for (index_t head = 0; head < queries.heads; ++head)
      for (index_t tile = 0; tile < tiles.count(); ++tile) {
        const index_t first = tiles.first(tile), count = tiles.extent(tile), group = head / heads_per_group;
        const auto keys_of = head_rows(keys, batch, group, 0, keys.tokens);
        const auto values_of = head_rows(values, batch, group, 0, keys.tokens);
        QueryTile work(head_rows(queries, batch, head, first, count), scale);
        const index_t end = mask.visible_keys(batch, first + count - 1, keys.tokens);
        for (index_t key = key_range(mask, batch, first, keys.tokens).first; key < end;
             key += TilePolicy::keys)
          work.attend(keys_of, values_of, key, std::min(end - key, TilePolicy::keys),
                      MaskAt<Mask>{mask, batch, head, first, keys.tokens});
        work.store(head_rows(out, batch, head, first, count));
        if (options.log_sum_exp.data != nullptr)
          work.store_log_sum_exp(head_rows(options.log_sum_exp, batch, head, first, count));
      }
}

}  // namespace stepvideo::attention_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = softmax(scale queries keys^T + the mask's bias) values, over the keys that `mask` shows each query,
/// in float32. queries and out (batch, query tokens, query heads, dim), keys and values (batch, key tokens,
/// key heads, dim): query head h attends with key head h / (query heads / key heads). Any strides, any
/// numbers of tokens. A query that sees no key gets zeros. `out` must not overlap the inputs. The host takes
/// a dim of up to host_attention_max_dim. Throws RequestError where shapes disagree or data is missing.
template <HostElement T, AttentionMask Mask>
void attention(Host, std::type_identity_t<HeadsView<const T>> queries,
               std::type_identity_t<HeadsView<const T>> keys, std::type_identity_t<HeadsView<const T>> values,
               const Mask& mask, HeadsView<T> out, const AttentionOptions& options = {}) {
  attention_detail::attend<T>(queries, keys, values, mask, out, options);
}

/// The same over a part of the keys, for merge_attention: the result stays float32, so that it is rounded
/// once when all parts are merged, and options.log_sum_exp is written always.
template <HostElement T, AttentionMask Mask>
void partial_attention(Host, HeadsView<const T> queries, HeadsView<const T> keys, HeadsView<const T> values,
                       const Mask& mask, HeadsView<float> out, const AttentionOptions& options) {
  require_partial_attention(options);
  attention_detail::attend<T>(queries, keys, values, mask, out, options);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct Attention;

template <class E, class Queries, class Keys, class Values, class Mask, class Out>
inline constexpr Mistake attention_mistake = first_of(
    {execution_mistake<E, Attention>, result_mistake<E, HeadsView, Out>,
     operand_mistake<HeadsView, value_of<Out>, Queries>, operand_mistake<HeadsView, value_of<Out>, Keys>,
     operand_mistake<HeadsView, value_of<Out>, Values>,
     AttentionMask<Mask> ? Mistake::none : Mistake::no_mask});
}  // namespace calls

/// Every call of attention that cannot be, to say why.
template <class E, class Queries, class Keys, class Values, class Mask, class Out>
requires calls::Mistaken<calls::attention_mistake<E, Queries, Keys, Values, Mask, Out>, E>
void attention(const E&, const Queries&, const Keys&, const Values&, const Mask&, const Out&,
               const AttentionOptions& = {}) {
  constexpr auto mistake = calls::attention_mistake<E, Queries, Keys, Values, Mask, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "attention on a Device is in <stepvideo/kernels/attention/attention.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, Queries, Keys, Values, Mask, Out>();
}
template <calls::First E, class... Others>
requires(sizeof...(Others) < 5) void attention(const E&, const Others&...) {
  // clang-format off
  static_assert(sizeof...(Others) >= 5, "attention takes an execution, queries, keys, values, a mask, out and, if need be, options; FullMask{} shows every key");
  // clang-format on
}
template <calls::First E, class Queries, class Keys, class Values, class Out>
void attention(const E& execution, const Queries& queries, const Keys& keys, const Values& values, const Out&,
               const AttentionOptions&) {
  attention(execution, queries, keys, values);  // The mask is missing.
}

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::Attention, D>) void partial_attention(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::Attention, D>, "partial_attention on a Device is in <stepvideo/kernels/attention/attention.cuh>, which nvcc compiles");
  // clang-format on
}

}  // namespace stepvideo
