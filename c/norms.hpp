// Norms of either execution behind the C ABI.
#pragma once
#include <stepvideo/kernels/norm/layer_norm.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "calls.hpp"

namespace stepvideo::c_abi {

template <class T, Execution E>
void rms_norm_of(E execution, const RmsNormCall& call) {
  stepvideo::rms_norm<T>(execution, call.in.rows<const T>(), call.weight.vector<const T>(), call.epsilon,
                         call.out.rows<T>());
}

template <class T, Execution E>
void layer_norm_of(E execution, const LayerNormCall& call) {
  const LayerNormTerms<T> terms{call.weight.vector_if_given<const T>(), call.bias.vector_if_given<const T>(),
                                call.scale.matrix_if_given<const float>(),
                                call.shift.matrix_if_given<const float>()};
  stepvideo::layer_norm<const T, T>(execution, call.in.tokens<const T>(), terms, call.epsilon,
                                    call.out.tokens<T>());
}

}  // namespace stepvideo::c_abi
