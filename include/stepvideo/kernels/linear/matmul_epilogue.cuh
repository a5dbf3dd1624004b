// Which epilogues run inside a matrix product of the library, and what they become there.
#pragma once
#include <concepts>

#include <stepvideo/kernels/linear/matmul_call.cuh>
#include <stepvideo/kernels/linear/matmul_table.hpp>
#include <stepvideo/kernels/tile/activation.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>

namespace stepvideo {

/// An epilogue's part of a MatmulCall.
template <class Out>
struct MatmulEpilogueTerms {
  MatmulEpilogue kind = MatmulEpilogue::store;
  VectorView<const Out> bias{};
  MatrixView<const Out> residual{};
};

namespace linear_detail {

template <class Out>
MatmulEpilogueTerms<Out> matmul_terms(const Store&) {
  return {};
}
template <class Out>
MatmulEpilogueTerms<Out> matmul_terms(const Bias<Out>& epilogue) {
  return {.kind = MatmulEpilogue::bias, .bias = epilogue.bias};
}
template <class Out>
MatmulEpilogueTerms<Out> matmul_terms(const Residual<Out>& epilogue) {
  return {.kind = MatmulEpilogue::residual, .residual = epilogue.residual};
}
template <class Out>
MatmulEpilogueTerms<Out> matmul_terms(const Chain<Bias<Out>, Residual<Out>>& epilogue) {
  return {.kind = MatmulEpilogue::bias_residual,
          .bias = epilogue.first.bias,
          .residual = epilogue.second.residual};
}
// The library's GELU is the one with tanh, and may take the hardware's tanh, which is good for 11 bits:
// enough for an element of 16, not for float32.
template <class Out>
requires(!std::same_as<Out, float>) MatmulEpilogueTerms<Out> matmul_terms(const Activate<GeluTanh>&) {
  return {.kind = MatmulEpilogue::gelu};
}
template <class Out>
requires(!std::same_as<Out, float>)
    MatmulEpilogueTerms<Out> matmul_terms(const Chain<Bias<Out>, Activate<GeluTanh>>& epilogue) {
  return {.kind = MatmulEpilogue::bias_gelu, .bias = epilogue.first.bias};
}

}  // namespace linear_detail

/// The library applies the epilogue to a product before it stores it as Out: Store; a bias or a residual of
/// Out's own element or one after the other; GELU with tanh where Out has 16 bits, alone or after a bias.
template <class Finish, class Out>
concept EpilogueRunsInMatmul = requires(const Finish& epilogue) {
  linear_detail::matmul_terms<Out>(epilogue);
};

}  // namespace stepvideo
