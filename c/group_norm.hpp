// GroupNorm of either execution behind the C ABI.
#pragma once
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/norm/group_norm.hpp>
#include <stepvideo/kernels/tile/activation.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>

#include "calls.hpp"

namespace stepvideo::c_abi {

template <class T, Execution E>
void group_norm_of(E execution, const GroupNormCall& call) {
  require(reinterpret_cast<std::uintptr_t>(call.workspace) % storage_alignment == 0, [] {
    return "group_norm: the workspace is not aligned; memory aligned to " +
           std::to_string(storage_alignment) + " bytes works";
  });
  const auto normalize = [&](const auto& epilogue) {
    stepvideo::group_norm(execution, call.in.video<const T>(), call.weight.vector<const T>(),
                          call.bias.vector<const T>(), call.groups, call.epsilon, epilogue,
                          call.out.video<T>(),
                          Workspace(call.workspace, call.workspace == nullptr ? 0 : call.workspace_bytes));
  };
  require(call.activation == STEPVIDEO_NO_ACTIVATION || call.activation == STEPVIDEO_SILU, [&] {
    return "group_norm: activation " + std::to_string(call.activation) +
           " is none of stepvideo_activation; 0 is none and 1 SiLU";
  });
  if (call.activation == STEPVIDEO_SILU) return normalize(Activate<Silu>{});
  normalize(Store{});
}

}  // namespace stepvideo::c_abi
