// What is wrong with a call that no form of a kernel takes, as one sentence of the compiler's instead of a
// list of overloads. Beside its forms a kernel has one that takes everything else:
//
//     template <class E, class In, class Out>
//     requires calls::Mistaken<square_mistake<E, In, Out>, E>
//     void square(const E&, const In&, const Out&) {
//       calls::explain<square_mistake<E, In, Out>, E, In, Out>();
//     }
//
// where square_mistake is the first Mistake of those that can be made there.
#pragma once
#include <concepts>
#include <initializer_list>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo::calls {

/// Whether a kernel's form for an execution is included. Its .cuh says that of a Device. Kernels are told by
/// tags.
template <class Kernel, class E>
inline constexpr bool has_form = std::same_as<E, Host>;

enum class Mistake {
  none,
  stream_as_execution,
  form_not_included,
  result_of_another_kind,
  result_of_const_elements,
  result_of_no_element,
  result_of_another_element,
  result_the_host_does_not_compute,
  operand_of_another_kind,
  operand_of_another_element,
  operand_the_kernel_does_not_take,
  no_mask,
  no_epilogue,
  no_terms,
  unpacked_weight,
  unquantized_operand,
};

/// What a call of a kernel begins with, and a CUDA stream that is meant for it.
template <class E>
concept First = Execution<E> || std::convertible_to<E, CUstream_st*>;

template <Mistake mistake, class E>
concept Mistaken = First<E> && mistake != Mistake::none;

/// Stands for an argument in braces, of which no type is deduced.
struct Braced {
  template <class... Arguments>
  constexpr Braced(Arguments&&...) {}
};

constexpr Mistake first_of(std::initializer_list<Mistake> mistakes) {
  for (const Mistake mistake : mistakes)
    if (mistake != Mistake::none) return mistake;
  return Mistake::none;
}

template <template <class> class View, class V>
inline constexpr bool is_view = false;
template <template <class> class View, class T>
inline constexpr bool is_view<View, View<T>> = true;

template <class V>
struct ElementOf {
  using type = float;  // so that what follows a first mistake makes no second one
};
template <class V>
requires std::is_pointer_v<decltype(V::data)>
struct ElementOf<V> {
  using type = std::remove_pointer_t<decltype(V::data)>;
};
/// What a view's elements are, const or not.
template <class V>
using element_of = typename ElementOf<V>::type;
template <class V>
using value_of = std::remove_const_t<element_of<V>>;

template <class E, class Kernel>
constexpr Mistake find_execution_mistake() {
  // Only of an execution: what a call on the host asks must not settle what a header of the GPU's says later.
  if constexpr (!Execution<E>)
    return Mistake::stream_as_execution;
  else
    return has_form<Kernel, E> ? Mistake::none : Mistake::form_not_included;
}
template <class E, class Kernel>
inline constexpr Mistake execution_mistake = find_execution_mistake<E, Kernel>();

/// Of the host's kernels that compute, which take fewer elements than a GPU's.
template <class E, class T>
inline constexpr bool is_computed = !std::same_as<E, Host> || HostElement<T>;

/// Of a result that is a View of elements that E's kernels compute.
template <class E, template <class> class View, class Out>
inline constexpr Mistake result_mistake =
    !is_view<View, Out>                ? Mistake::result_of_another_kind
    : std::is_const_v<element_of<Out>> ? Mistake::result_of_const_elements
    : !Element<element_of<Out>>        ? Mistake::result_of_no_element
    : !is_computed<E, element_of<Out>> ? Mistake::result_the_host_does_not_compute
                                       : Mistake::none;

/// Of an operand that is a View of T.
template <template <class> class View, class T, class In>
inline constexpr Mistake operand_mistake =
    std::same_as<In, Braced> || std::convertible_to<In, View<const T>> ? Mistake::none
    : is_view<View, In>                                                ? Mistake::operand_of_another_element
                                                                       : Mistake::operand_of_another_kind;

/// Of an operand that is a View of any element that E's kernels compute with.
template <class E, template <class> class View, class In>
inline constexpr Mistake any_operand_mistake =
    !is_view<View, In>                                        ? Mistake::operand_of_another_kind
    : !Element<value_of<In>> || !is_computed<E, value_of<In>> ? Mistake::operand_the_kernel_does_not_take
                                                              : Mistake::none;

/// Says what the mistake is, for each list of arguments. That a form is not included the kernel says itself,
/// as it knows where it is.
template <Mistake mistake, class... Arguments>
constexpr void explain() {
  // clang-format off
  static_assert(mistake != Mistake::stream_as_execution, "an execution is wanted where a CUDA stream stands; stepvideo::Device{stream} makes an execution of it");
  static_assert(mistake != Mistake::result_of_another_kind, "`out` is not the kind of view that this call writes; its documentation names the kind and the shape");
  static_assert(mistake != Mistake::result_of_const_elements, "`out` is a view of const elements; a view of elements that are not const can be written");
  static_assert(mistake != Mistake::result_of_no_element, "`out` has elements that no kernel is built for; float, stepvideo::bf16, fp16 and fp8_e4m3 work");
  static_assert(mistake != Mistake::result_of_another_element, "`out`, or what is changed in place, has other elements than this call writes, which its documentation names");
  static_assert(mistake != Mistake::result_the_host_does_not_compute, "the host's kernels compute with float and bf16 (HostElement) and `out` has other elements; a Device computes with them, and convert() makes them of float");
  static_assert(mistake != Mistake::operand_of_another_kind, "an operand is not the kind of view that this call reads; its documentation names the kinds and the shapes");
  static_assert(mistake != Mistake::operand_of_another_element, "an operand has other elements than `out`, where this call takes one element throughout; convert() makes the one of the other");
  static_assert(mistake != Mistake::operand_the_kernel_does_not_take, "an operand has elements that this call does not take: the host's kernels compute with float and bf16 (HostElement), a Device with fp16, too, and with fp8 where its documentation says so");
  static_assert(mistake != Mistake::no_mask, "the mask is no AttentionMask; FullMask{}, KeyPrefixMask, CausalMask or a struct with visible_keys(batch, query, keys) is one");
  static_assert(mistake != Mistake::no_epilogue, "the epilogue is no Epilogue; Store{}, which changes nothing, and the others of kernels/tile/epilogue.hpp are");
  static_assert(mistake != Mistake::no_terms, "the weights of this norm are not the struct that it takes: LayerNormTerms<T> of layer_norm, QkNorm<T> of qk_norm_rope");
  static_assert(mistake != Mistake::unquantized_operand, "an operand of fp8_attention is not quantised; quantize_heads makes the QuantizedHeads, quantize_values the QuantizedValues, and the form of fp8_attention that takes a workspace both");
  static_assert(mistake != Mistake::unpacked_weight, "the weight is no PackedConvWeight of this execution; pack_conv_weight(execution, ...) makes one, once, when a model is loaded");
  // clang-format on
}

}  // namespace stepvideo::calls
