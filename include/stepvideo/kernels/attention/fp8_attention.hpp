// Attention whose products are of fp8 operands.
#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <type_traits>
#include <vector>

#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/attention_path.hpp>
#include <stepvideo/kernels/attention/quantize_attention.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// What fp8_attention requires of quantised operands, on any execution. Throws RequestError naming the view
/// that disagrees.
template <class T>
void require_fp8_attention_shapes(const QuantizedHeads<const fp8_e4m3>& queries,
                                  const QuantizedHeads<const fp8_e4m3>& keys,
                                  const QuantizedValues<const fp8_e4m3>& values, HeadsView<T> out,
                                  const AttentionOptions& options) {
  require_scales_fit("fp8_attention: queries", queries);
  require_scales_fit("fp8_attention: keys", keys);
  const auto& codes = values.codes;
  require(codes.dim == QuantizedValues<const fp8_e4m3>::padded_tokens(values.tokens), [&] {
    return "fp8_attention: value codes are " + shape_text(codes) + "; " + std::to_string(values.tokens) +
           " tokens need rows of " +
           std::to_string(QuantizedValues<const fp8_e4m3>::padded_tokens(values.tokens));
  });
  for (const auto& parameter : {values.scales, values.means})
    require(parameter.batch == codes.batch && parameter.tokens == 1 && parameter.heads == codes.heads &&
                parameter.dim == codes.tokens,
            [&] {
              return "fp8_attention: value codes are " + shape_text(codes) + " and their scales or means " +
                     shape_text(parameter) + "; both need one row for each head";
            });
  // Heads of one element type stand for the operands' extents.
  const auto as_heads = [](index_t batch, index_t tokens, index_t heads, index_t dim) {
    return HeadsView<const T>{nullptr, batch, tokens, heads, dim};
  };
  const auto& q = queries.values;
  const auto& k = keys.values;
  require_attention_shapes<T>(as_heads(q.batch, q.tokens, q.heads, q.dim),
                              as_heads(k.batch, k.tokens, k.heads, k.dim),
                              as_heads(codes.batch, values.tokens, codes.heads, codes.tokens), out, options);
}

/// What a call of fp8_attention on quantised operands requires, on any execution. Throws RequestError;
/// touches no element.
template <class T, AttentionMask Mask>
void require_fp8_attention_call(const QuantizedHeads<const fp8_e4m3>& queries,
                                const QuantizedHeads<const fp8_e4m3>& keys,
                                const QuantizedValues<const fp8_e4m3>& values, const Mask& mask,
                                HeadsView<T> out, const AttentionOptions& options) {
  static_assert(
      !KeyRangeMask<Mask>,
      "fp8_attention shows queries the first keys and all up to a last one; attention() takes masks "
      "that hide the first keys, such as WindowMask and PackedMask");
  require_fp8_attention_shapes(queries, keys, values, out, options);
  require_mask_fits(mask, out.batch, out.heads);
  require_data("fp8_attention: queries", queries.values);
  require_data("fp8_attention: the queries' scales", queries.scales);
  require_data("fp8_attention: keys", keys.values);
  require_data("fp8_attention: the keys' scales", keys.scales);
  require_data("fp8_attention: value codes", values.codes);
  require_data("fp8_attention: the values' scales", values.scales);
  require_data("fp8_attention: the values' means", values.means);
  require_data("fp8_attention: the results", out);
}

/// What the device's fp8_attention requires of a GPU. Throws RequestError.
inline void require_fp8_attention_gpu(const KernelGpu& gpu) {
  const int capability = gpu.compute_capability;
  require(capability / 10 == 9, [&] {
    return "fp8_attention: the GPU has compute capability " + std::to_string(capability / 10) + "." +
           std::to_string(capability % 10) + "; it runs on Hopper, 9.0";
  });
  require(gpu.has_code_for_warpgroups, [] {
    return "fp8_attention: the program was not compiled for 90a (or with "
           "-DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS); add it to CMAKE_CUDA_ARCHITECTURES";
  });
}

/// Weights are rounded to fp8 as 2^offset exp(score - reference): a whole power, so that a key that gets all
/// attention gets it unrounded, and high, for fp8's full precision ends at 2^-6.
inline constexpr float fp8_weight_offset_log2 = 6.0f;

/// attention() on quantised operands: scores in float32, weights rounded to fp8 before they are summed,
/// products with values in float32. Queries and keys (batch, tokens, heads, dim), out the queries' shape in
/// T. The log-sum-exp is that of the quantised scores; on the GPU up to 1.5e-2 low (see Fp8AttentionPolicy).
/// Hidden keys get no weight, but their codes, and the scales of blocks with visible keys, must be numbers.
/// Throws RequestError where shapes disagree or data is missing.
template <Element T, AttentionMask Mask>
void fp8_attention(Host, const QuantizedHeads<const fp8_e4m3>& queries,
                   const QuantizedHeads<const fp8_e4m3>& keys, const QuantizedValues<const fp8_e4m3>& values,
                   const Mask& mask, HeadsView<T> out, const AttentionOptions& options) {
  require_fp8_attention_call(queries, keys, values, mask, out, options);
  const float scale = options.scale_for(out.dim);
  const index_t sharing = out.heads / keys.values.heads, dim = out.dim, key_tokens = values.tokens;
#pragma omp parallel for collapse(3) schedule(dynamic, 16)
  for (index_t batch = 0; batch < out.batch; ++batch)
    for (index_t head = 0; head < out.heads; ++head)
      for (index_t query = 0; query < out.tokens; ++query) {
        const index_t group = head / sharing;
        const index_t seen = std::clamp<index_t>(mask.visible_keys(batch, query, key_tokens), 0, key_tokens);
        const fp8_e4m3* query_codes = queries.values.row(batch, query, head);
        const float query_scale = queries.scale(batch, query / quantization_block_tokens, head) * scale;
        std::vector<float> scores(static_cast<std::size_t>(seen));
        float largest = -std::numeric_limits<float>::infinity(), sum = 0;
        for (index_t key = 0; key < seen; ++key) {
          const fp8_e4m3* key_codes = keys.values.row(batch, key, group);
          float product = 0;
          for (index_t i = 0; i < dim; ++i) product += float(query_codes[i]) * float(key_codes[i]);
          float score = product * query_scale * keys.scale(batch, key / quantization_block_tokens, group);
          if constexpr (AttentionBias<Mask>) score += mask.bias(head, query, key);
          scores[static_cast<std::size_t>(key)] = score;
          largest = score > largest ? score : largest;
        }
        std::vector<float> result(static_cast<std::size_t>(dim), 0.0f);
        for (index_t key = 0; key < seen; ++key) {
          const float score = scores[static_cast<std::size_t>(key)] - largest;
          const float weight = std::exp2(score * std::numbers::log2e_v<float> + fp8_weight_offset_log2);
          const float rounded = float(fp8_e4m3(weight));
          sum += rounded;
          for (index_t i = 0; i < dim; ++i)
            result[static_cast<std::size_t>(i)] +=
                rounded * float(values.codes.row(batch, i, group)[quantized_value_position(key)]);
        }
        for (index_t i = 0; i < dim; ++i)
          round_into(out.row(batch, query, head)[i],
                     seen == 0
                         ? 0.0f
                         : result[static_cast<std::size_t>(i)] / sum * values.scales.row(batch, 0, group)[i] +
                               values.means.row(batch, 0, group)[i]);
        if (options.log_sum_exp.data != nullptr)
          *options.log_sum_exp.row(batch, query, head) =
              largest + std::log(sum) - fp8_weight_offset_log2 * std::numbers::ln2_v<float>;
      }
}

/// Quantised operands in a workspace.
struct Fp8Operands {
  QuantizedHeads<fp8_e4m3> queries, keys;
  QuantizedValues<fp8_e4m3> values;
  HeadsView<float> key_means;
  Workspace rest;

  static constexpr std::size_t heads_bytes(index_t batch, index_t tokens, index_t heads, index_t dim) {
    return workspace_bytes<fp8_e4m3>(batch * tokens * heads * dim) +
           workspace_bytes<float>(batch * quantization_blocks(tokens) * heads);
  }
  template <class T>
  static constexpr std::size_t bytes(HeadsView<const T> queries, HeadsView<const T> keys) {
    const index_t heads = keys.batch * keys.heads;
    return heads_bytes(queries.batch, queries.tokens, queries.heads, queries.dim) +
           heads_bytes(keys.batch, keys.tokens, keys.heads, keys.dim) +
           workspace_bytes<fp8_e4m3>(heads * keys.dim *
                                     QuantizedValues<fp8_e4m3>::padded_tokens(keys.tokens)) +
           3 * workspace_bytes<float>(heads * keys.dim);
  }
  template <class T>
  static Fp8Operands in(Workspace workspace, HeadsView<const T> queries, HeadsView<const T> keys) {
    const auto take_heads = [&](HeadsView<const T> of) {
      auto* codes = workspace.take<fp8_e4m3>(of.batch * of.tokens * of.heads * of.dim);
      auto* scales = workspace.take<float>(of.batch * quantization_blocks(of.tokens) * of.heads);
      return QuantizedHeads<fp8_e4m3>::head_major(codes, scales, of.batch, of.tokens, of.heads, of.dim);
    };
    Fp8Operands operands;
    operands.queries = take_heads(queries);
    operands.keys = take_heads(keys);
    const index_t parameters = keys.batch * keys.heads * keys.dim;
    auto* codes = workspace.take<fp8_e4m3>(keys.batch * keys.heads * keys.dim *
                                           QuantizedValues<fp8_e4m3>::padded_tokens(keys.tokens));
    auto* scales = workspace.take<float>(parameters);
    auto* means = workspace.take<float>(parameters);
    operands.values = QuantizedValues<fp8_e4m3>::head_major(codes, scales, means, keys.batch, keys.tokens,
                                                            keys.heads, keys.dim);
    operands.key_means =
        HeadsView<float>::dense(workspace.take<float>(parameters), keys.batch, 1, keys.heads, keys.dim);
    operands.rest = workspace;
    return operands;
  }
};

/// Bytes of workspace that fp8_attention needs to quantise its operands.
template <Execution E, class Queries, class Keys>
std::size_t fp8_attention_workspace(E execution, HeadsView<Queries> queries, HeadsView<Keys> keys) {
  using T = const std::remove_const_t<Queries>;
  return Fp8Operands::bytes(HeadsView<T>(queries), HeadsView<T>(keys)) +
         channel_extents_workspace(execution, HeadsView<T>(keys));
}

/// Quantises queries, keys and values into `workspace`. Tokens after options.lengths count as zeros, of keys
/// and values; `center_keys` is options.center for the keys alone.
template <Element T, Execution E>
Fp8Operands quantize_attention(E execution, std::type_identity_t<HeadsView<const T>> queries,
                               std::type_identity_t<HeadsView<const T>> keys,
                               std::type_identity_t<HeadsView<const T>> values,
                               const QuantizeOptions& options, bool center_keys, Workspace workspace) {
  auto operands = Fp8Operands::in<T>(workspace, queries, keys);
  HeadsView<float> key_means{};
  if (center_keys) {
    key_means = operands.key_means;
    mean_of_heads<T>(execution, keys, options, key_means, operands.rest);
  }
  quantize_heads<T>(execution, queries, {}, {.rotate = options.rotate}, operands.queries);
  quantize_heads<T>(execution, keys, key_means, options, operands.keys);
  quantize_values<T>(execution, values, options, operands.values, operands.rest);
  return operands;
}

/// attention() with operands of T that it quantises to fp8 first, in a workspace of fp8_attention_workspace()
/// bytes. Where a log-sum-exp is asked for, keys keep their mean, which moves it. Throws RequestError where
/// shapes disagree.
template <Element T, Execution E, AttentionMask Mask>
void fp8_attention(E execution, std::type_identity_t<HeadsView<const T>> queries,
                   std::type_identity_t<HeadsView<const T>> keys,
                   std::type_identity_t<HeadsView<const T>> values, const Mask& mask, HeadsView<T> out,
                   const AttentionOptions& options, QuantizeOptions quantize, Workspace workspace) {
  require_attention_call<T>(queries, keys, values, mask, out, options);
  if constexpr (std::is_same_v<Mask, KeyPrefixMask>) quantize.lengths = mask.lengths;
  const bool center_keys = quantize.center && options.log_sum_exp.data == nullptr;
  const auto operands =
      quantize_attention<T>(execution, queries, keys, values, quantize, center_keys, workspace);
  fp8_attention(execution, QuantizedHeads<const fp8_e4m3>(operands.queries),
                QuantizedHeads<const fp8_e4m3>(operands.keys),
                QuantizedValues<const fp8_e4m3>(operands.values), mask, out, options);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct Fp8Attention;

template <class E, class Queries, class Keys, class Values, class Mask, class Out>
inline constexpr Mistake fp8_attention_mistake = first_of(
    {execution_mistake<E, Fp8Attention>, result_mistake<Device, HeadsView, Out>,
     std::convertible_to<Queries, QuantizedHeads<const fp8_e4m3>>&& std::convertible_to<
         Keys, QuantizedHeads<const fp8_e4m3>>&& std::convertible_to<Values, QuantizedValues<const fp8_e4m3>>
         ? Mistake::none
         : Mistake::unquantized_operand,
     AttentionMask<Mask> ? Mistake::none : Mistake::no_mask});
}  // namespace calls

/// Every call of fp8_attention that cannot be, to say why.
template <class E, class Queries, class Keys, class Values, class Mask, class Out>
requires calls::Mistaken<calls::fp8_attention_mistake<E, Queries, Keys, Values, Mask, Out>, E>
void fp8_attention(const E&, const Queries&, const Keys&, const Values&, const Mask&, const Out&,
                   const AttentionOptions&) {
  constexpr auto mistake = calls::fp8_attention_mistake<E, Queries, Keys, Values, Mask, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "fp8_attention on a Device is in <stepvideo/kernels/attention/fp8_attention.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, Queries, Keys, Values, Mask, Out>();
}

}  // namespace stepvideo
