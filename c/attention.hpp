// Attention of either execution behind the C ABI.
#pragma once
#include <string>

#include <stepvideo/kernels/attention/attention.hpp>

#include "calls.hpp"

namespace stepvideo::c_abi {

static_assert(sizeof(index_t) == sizeof(std::int64_t));

inline AttentionOptions options_of(const AttentionCall& call) {
  AttentionOptions options{.spare_multiprocessors = call.options.spare_multiprocessors};
  if (call.options.scale != 0) options.scale = call.options.scale;
  if (call.log_sum_exp.is_given()) options.log_sum_exp = call.log_sum_exp.head_values<float>();
  return options;
}

inline void require_apart(const AttentionCall& call, const void* out, const void* in, const char* name) {
  require(out != in || out == nullptr, [&] {
    return std::string(call.out.call()) + ": out lies where " + name + " lie; it needs memory of its own";
  });
}

/// Calls `attend(queries, keys, values, mask, out, options)` for elements of T.
template <class T, class Attend>
void with_attention_views(const AttentionCall& call, Attend&& attend) {
  const auto queries = call.queries.heads<const T>(), keys = call.keys.heads<const T>(),
             values = call.values.heads<const T>();
  const auto out = call.out.heads<T>();
  require_apart(call, out.data, queries.data, "queries");
  require_apart(call, out.data, keys.data, "keys");
  require_apart(call, out.data, values.data, "values");
  const AttentionOptions options = options_of(call);
  const bool is_causal = call.options.mask == STEPVIDEO_MASK_CAUSAL;
  require(is_causal || call.options.mask == STEPVIDEO_MASK_FULL, [&] {
    return std::string(call.out.call()) + ": mask " + std::to_string(call.options.mask) +
           " is none of stepvideo_mask; 0 is full and 1 causal";
  });
  require(!is_causal || !call.key_lengths.is_given(), [&] {
    return std::string(call.out.call()) +
           ": key_lengths with the causal mask are not built; the full mask takes them";
  });
  require(is_causal || call.options.keys_before == 0, [&] {
    return std::string(call.out.call()) + ": keys_before is " + std::to_string(call.options.keys_before) +
           " with the full mask, which takes 0; the causal mask takes others";
  });
  if (is_causal)
    return attend(queries, keys, values, BottomRightCausalMask{call.options.keys_before}, out, options);
  if (!call.key_lengths.is_given()) return attend(queries, keys, values, FullMask{}, out, options);
  const VectorView<const std::int64_t> lengths = call.key_lengths.vector<const std::int64_t>();
  attend(queries, keys, values, KeyPrefixMask{{reinterpret_cast<const index_t*>(lengths.data), lengths.size}},
         out, options);
}

}  // namespace stepvideo::c_abi
