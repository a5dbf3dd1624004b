// RMSNorm over the channels of each head, or of each row.
#pragma once
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/rms_row.hpp>

namespace stepvideo {

/// What rms_norm requires of its views, on any execution. Throws RequestError naming the one that disagrees.
template <class T>
void require_rms_norm_shapes(HeadsView<const T> in, VectorView<const T> weight, HeadsView<T> out) {
  require(weight.size == in.dim, [&] {
    return "rms_norm: weight has " + std::to_string(weight.size) + " elements and a row has " +
           std::to_string(in.dim) + "; they must be equal";
  });
  require(in.batch == out.batch && in.tokens == out.tokens && in.heads == out.heads && in.dim == out.dim,
          [&] {
            return "rms_norm: in is " + shape_text(in) + " and out is " + shape_text(out) +
                   "; they must have the same shape";
          });
  require_data("rms_norm", "in", in);
  require_data("rms_norm", "weight", weight);
  require_data("rms_norm", "out", out);
}

}  // namespace stepvideo

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// out = T(in / sqrt(mean(in^2) + epsilon)) * weight over each run of `dim` channels: float32 inside, rounded
/// to T, then multiplied by the weight, as the release's RMSNorm does. (batch, tokens, heads, dim), any
/// strides; in may be out itself, but must not overlap it otherwise. Throws RequestError where shapes
/// disagree.
template <HostElement T>
void rms_norm(Host, std::type_identity_t<HeadsView<const T>> in,
              std::type_identity_t<VectorView<const T>> weight, float epsilon, HeadsView<T> out) {
  require_rms_norm_shapes<T>(in, weight, out);
  const index_t rows = in.batch * in.tokens;
#pragma omp parallel for schedule(static)
  for (index_t row = 0; row < rows; ++row) {
    const index_t batch = row / in.tokens, token = row % in.tokens;
    for (index_t head = 0; head < in.heads; ++head)
      rms_norm_row(in.row(batch, token, head), weight.data, in.dim, epsilon, out.row(batch, token, head));
  }
}

/// The same over the rows of a matrix.
template <Element T, Execution E>
requires calls::is_computed<E, T>
void rms_norm(E execution, std::type_identity_t<MatrixView<const T>> in,
              std::type_identity_t<VectorView<const T>> weight, float epsilon, MatrixView<T> out) {
  rms_norm(execution, HeadsView<const T>{in.data, 1, in.rows, 1, in.columns, 0, in.row_stride, 0}, weight,
           epsilon, HeadsView<T>{out.data, 1, out.rows, 1, out.columns, 0, out.row_stride, 0});
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct RmsNorm;

template <class E, class In, class Weight, class Out>
inline constexpr Mistake rms_norm_mistake =
    is_view<MatrixView, Out>
        ? first_of({result_mistake<E, MatrixView, Out>, operand_mistake<MatrixView, value_of<Out>, In>,
                    operand_mistake<VectorView, value_of<Out>, Weight>})
        : first_of({execution_mistake<E, RmsNorm>, result_mistake<E, HeadsView, Out>,
                    operand_mistake<HeadsView, value_of<Out>, In>,
                    operand_mistake<VectorView, value_of<Out>, Weight>});
}  // namespace calls

/// Every call of rms_norm that cannot be, to say why.
template <class E, class In, class Weight, class Out>
requires calls::Mistaken<calls::rms_norm_mistake<E, In, Weight, Out>, E>
void rms_norm(const E&, const In&, const Weight&, float, const Out&) {
  constexpr auto mistake = calls::rms_norm_mistake<E, In, Weight, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "rms_norm on a Device is in <stepvideo/kernels/norm/rms_norm.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, In, Weight, Out>();
}
template <calls::First E, class... Others>
requires(sizeof...(Others) < 4) void rms_norm(const E&, const Others&...) {
  // clang-format off
  static_assert(sizeof...(Others) >= 4, "rms_norm takes an execution, in, the weight, epsilon and out");
  // clang-format on
}

}  // namespace stepvideo
