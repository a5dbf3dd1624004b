// fp8 attention of either execution behind the C ABI.
#pragma once
#include <string>

#include <stepvideo/kernels/attention/fp8_attention.hpp>

#include "attention.hpp"

namespace stepvideo::c_abi {

template <class T, Execution E>
void fp8_attention_of(E execution, const Fp8AttentionCall& call) {
  require(
      call.workspace != nullptr && reinterpret_cast<std::uintptr_t>(call.workspace) % storage_alignment == 0,
      [&] {
        return std::string("fp8_attention: the workspace ") +
               (call.workspace == nullptr ? "is a null pointer" : "is not aligned") + "; memory aligned to " +
               std::to_string(storage_alignment) + " bytes works";
      });
  require(
      call.attention.options.mask == STEPVIDEO_MASK_FULL,
      "fp8_attention: the full mask alone is built, with key_lengths or without; attention takes the others");
  with_attention_views<T>(
      call.attention, [&](auto queries, auto keys, auto values, auto mask, auto out, const auto& options) {
        if constexpr (!std::is_same_v<decltype(mask), BottomRightCausalMask>)
          stepvideo::fp8_attention<T>(
              execution, queries, keys, values, mask, out, options,
              {.rotate = call.quantize.without_rotation == 0, .center = call.quantize.without_centering == 0},
              Workspace(call.workspace, call.workspace_bytes));
      });
}

template <class T, Execution E>
std::size_t fp8_workspace_of(E execution, const Argument& queries, const Argument& keys) {
  return stepvideo::fp8_attention_workspace(execution, queries.heads<const T>(), keys.heads<const T>());
}

}  // namespace stepvideo::c_abi
