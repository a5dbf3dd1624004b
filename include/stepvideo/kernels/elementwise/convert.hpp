// From one element type to another, and a function of each element.
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/core/require_data.hpp>
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/activation.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// What convert requires, on any execution.
template <class From, class To>
void require_convert_shapes(TokensView<From> in, TokensView<To> out) {
  require(in.batch == out.batch && in.tokens == out.tokens && in.width == out.width, [&] {
    return "convert: in is " + shape_text(in) + " and out " + shape_text(out) +
           "; they must have the same shape";
  });
  require_data("convert", "in", in);
  require_data("convert", "out", out);
}

template <class From, class To>
void require_convert_shapes(HeadsView<From> in, HeadsView<To> out) {
  require(in.batch == out.batch && in.tokens == out.tokens && in.heads == out.heads && in.dim == out.dim,
          [&] {
            return "convert: in is " + shape_text(in) + " and out " + shape_text(out) +
                   "; they must have the same shape";
          });
  require_data("convert: in", in);
  require_data("convert: out", out);
}

/// out = To(function(float(in))), (batch, tokens, width), any strides; Silu{} is a function. in may be out
/// itself, but must not overlap it otherwise. Throws RequestError unless the shapes are the same.
template <Element From, Element To, class Function = Identity>
void convert(Host, TokensView<const From> in, TokensView<To> out, Function function = {}) {
  require_convert_shapes(in, out);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t token = 0; token < in.tokens; ++token) {
      const From* source = in.row(batch, token);
      To* target = out.row(batch, token);
#pragma omp simd
      for (index_t i = 0; i < in.width; ++i) round_into(target[i], function(float(source[i])));
    }
}

/// The same for heads, (batch, tokens, heads, dim), from any strides to any: also how they are copied.
template <Element From, Element To>
void convert(Host, HeadsView<const From> in, HeadsView<To> out) {
  require_convert_shapes(in, out);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t batch = 0; batch < in.batch; ++batch)
    for (index_t token = 0; token < in.tokens; ++token)
      for (index_t head = 0; head < in.heads; ++head) {
        const From* source = in.row(batch, token, head);
        To* target = out.row(batch, token, head);
        if constexpr (std::is_same_v<From, To>) {
          std::copy_n(source, in.dim, target);
        } else {
#pragma omp simd
          for (index_t i = 0; i < in.dim; ++i) round_into(target[i], float(source[i]));
        }
      }
}

/// An `in` that could be written is as good.
template <Execution E, Element From, Element To, class Function = Identity>
void convert(E execution, TokensView<From> in, TokensView<To> out, Function function = {}) {
  convert(execution, TokensView<const From>(in), out, function);
}
template <Execution E, Element From, Element To>
void convert(E execution, HeadsView<From> in, HeadsView<To> out) {
  convert(execution, HeadsView<const From>(in), out);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct Convert;

/// Beside a result of the right kind, an operand of that kind and of any element.
template <class E, template <class> class View, class In, class Out>
inline constexpr Mistake convert_mistake_of = first_of({execution_mistake<E, Convert>,
                                                        result_mistake<Device, View, Out>,
                                                        any_operand_mistake<Device, View, In>});
template <class E, class In, class Out>
inline constexpr Mistake convert_mistake =
    is_view<HeadsView, Out> ? convert_mistake_of<E, HeadsView, In, Out>
                            : convert_mistake_of<E, TokensView, In, Out>;
}  // namespace calls

/// Every call of convert that cannot be, to say why.
template <class E, class In, class Out>
requires calls::Mistaken<calls::convert_mistake<E, In, Out>, E>
void convert(const E&, const In&, const Out&) {
  constexpr auto mistake = calls::convert_mistake<E, In, Out>;
  // clang-format off
  static_assert(mistake != calls::Mistake::form_not_included, "convert on a Device is in <stepvideo/kernels/elementwise/convert.cuh>, which nvcc compiles");
  // clang-format on
  calls::explain<mistake, E, In, Out>();
}
template <class E, class In, class Out, class Function>
requires calls::Mistaken<calls::convert_mistake<E, In, Out>, E>
void convert(const E& execution, const In& in, const Out& out, const Function&) {
  convert(execution, in, out);
}

}  // namespace stepvideo
