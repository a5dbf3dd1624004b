// What a dense layer requires, on any execution. The layer itself is in linear.hpp for the host and in
// linear.cuh for GPUs.
#pragma once
#include <concepts>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/scaled_rows.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>

namespace stepvideo {

/// What a matrix product may be told beyond its operands.
struct LinearOptions {
  /// How many rows the GPU's algorithm is chosen for; 0: those of this call. The bits of a row depend on the
  /// algorithm and on the row alone: calls that must agree (the ranks' shares of a video's tokens, a guided
  /// pair as one batch or as two calls) name the same number. The host's results never depend on it.
  index_t planned_rows = 0;
};

/// What linear requires, on any execution. Throws RequestError naming the view that disagrees.
template <class T, class Finish, class Out>
void require_linear_shapes(MatrixView<const T> in, MatrixView<const T> weight, const Finish& epilogue,
                           MatrixView<Out> out, const LinearOptions& options) {
  const index_t products = PairEpilogue<Finish> ? 2 * out.columns : out.columns;
  require(in.columns > 0 && in.columns == weight.columns && in.rows == out.rows && weight.rows == products,
          [&] {
            return "linear: in is " + shape_text(in) + ", weight " + shape_text(weight) + " and out " +
                   shape_text(out) + "; in (rows, depth) and weight (columns" +
                   (PairEpilogue<Finish> ? " * 2" : "") + ", depth) give out (rows, columns)";
          });
  epilogue.require_fits(out.rows, out.columns);
  require(options.planned_rows >= 0, [&] {
    return "linear: planned_rows is " + std::to_string(options.planned_rows) +
           "; a number of rows, or 0 for those of the call, works";
  });
}

namespace calls {
struct Linear;
template <class E>
inline constexpr bool has_form<Linear, E> = false;

/// A product of fp8 has operands of its own, and scaled_linear.hpp.
template <class E, class In, class Weight, class Finish, class Out>
inline constexpr Mistake linear_mistake =
    first_of({execution_mistake<E, Linear>, any_operand_mistake<E, MatrixView, In>,
              operand_mistake<MatrixView, value_of<In>, Weight>,
              Epilogue<Finish> || PairEpilogue<Finish> ? Mistake::none : Mistake::no_epilogue,
              result_mistake<E, MatrixView, Out>});
}  // namespace calls

/// Every call of linear that cannot be, to say why.
template <class E, class In, class Finish, class Out, class Weight = calls::Braced>
requires(!std::same_as<In, ScaledRows>) &&
    calls::Mistaken<calls::linear_mistake<E, In, Weight, Finish, Out>, E> void linear(
        const E&, const In&, const Weight&, const Finish&, const Out&, const LinearOptions& = {}) {
  constexpr auto mistake = calls::linear_mistake<E, In, Weight, Finish, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included || !std::same_as<E, Device>, "linear on a Device is in <stepvideo/kernels/linear/linear.cuh>, which nvcc compiles");
  static_assert(mistake != calls::Mistake::form_not_included || !std::same_as<E, Host>, "linear on the host is in <stepvideo/kernels/linear/linear.hpp>, which needs OpenBLAS");
  // clang-format on
  calls::explain<mistake, E, In, Weight, Finish, Out>();
}
template <calls::First E, class... Others>
requires(sizeof...(Others) < 4) void linear(const E&, const Others&...) {
  // clang-format off
  static_assert(sizeof...(Others) >= 4, "linear takes an execution, in, the weight, an epilogue, out and, if need be, options; Store{} is the epilogue that changes nothing");
  // clang-format on
}

}  // namespace stepvideo
