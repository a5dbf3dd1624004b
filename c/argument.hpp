// A tensor of the C ABI as a view of the library, judged on the way.
#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>

#include "place.hpp"
#include "stepvideo_c.h"

namespace stepvideo::c_abi {

/// "bf16", or what an element is not.
std::string element_text(std::int32_t element);

template <class T>
inline constexpr stepvideo_element element_of = STEPVIDEO_INT64;
template <>
inline constexpr stepvideo_element element_of<float> = STEPVIDEO_FP32;
template <>
inline constexpr stepvideo_element element_of<bf16> = STEPVIDEO_BF16;
template <>
inline constexpr stepvideo_element element_of<fp16> = STEPVIDEO_FP16;

/// One tensor of a call, by the names that sentences give the call and the tensor, and where it must lie. A
/// view of const T is read, one of T is written. Every function throws RequestError where the tensor is not
/// what it says.
class Argument {
 public:
  Argument(const char* call, const char* name, Place place, const stepvideo_tensor* tensor)
      : call_(call), name_(name), place_(place), tensor_(tensor) {}

  const char* call() const { return call_; }
  const char* name() const { return name_; }
  bool is_given() const { return tensor_ != nullptr; }
  /// The tensor, whose data, rank, shape and strides hold together.
  const stepvideo_tensor& tensor() const;

  /// (rows, dim), (batch, tokens, dim) or (batch, tokens, heads, dim) as the last of these.
  template <class T>
  HeadsView<T> rows() const {
    const auto& [data, element, rank, shape, strides] = judged<T>(2, 4, "(..., dim)");
    HeadsView<T> view{static_cast<T*>(data), 1, 1, 1, shape[rank - 1], 0, 0, 0};
    if (rank == 4) view.heads = shape[2], view.head_stride = strides[2];
    view.tokens = shape[rank == 2 ? 0 : 1], view.token_stride = strides[rank == 2 ? 0 : 1];
    if (rank > 2) view.batch = shape[0], view.batch_stride = strides[0];
    return view;
  }
  /// (batch, tokens, heads, dim)
  template <class T>
  HeadsView<T> heads() const {
    judged<T>(4, 4, "(batch, tokens, heads, dim)");
    return rows<T>();
  }
  /// (batch, tokens, heads), any strides, as heads of one channel.
  template <class T>
  HeadsView<T> head_values() const {
    const auto& [data, element, rank, shape, strides] =
        judged<T>(3, 3, "(batch, tokens, heads)", Last::any_stride);
    return {static_cast<T*>(data), shape[0], shape[1], shape[2], 1, strides[0], strides[1], strides[2]};
  }
  /// (batch, tokens, width) or (tokens, width)
  template <class T>
  TokensView<T> tokens() const {
    judged<T>(2, 3, "(batch, tokens, width)");
    const auto rows = this->rows<T>();
    return {rows.data, rows.batch, rows.tokens, rows.dim, rows.batch_stride, rows.token_stride};
  }
  /// (rows, columns); no data where the tensor is not given.
  template <class T>
  MatrixView<T> matrix_if_given() const {
    if (!is_given()) return {};
    const auto& tensor = judged<T>(2, 2, "(batch, width)");
    return {static_cast<T*>(tensor.data), tensor.shape[0], tensor.shape[1], tensor.strides[0]};
  }
  template <class T>
  VectorView<T> vector() const {
    const auto& tensor = judged<T>(1, 1, "of one extent");
    return {static_cast<T*>(tensor.data), tensor.shape[0]};
  }
  template <class T>
  VectorView<T> vector_if_given() const {
    return is_given() ? vector<T>() : VectorView<T>{};
  }
  /// (frames, height, width, channels)
  template <class T>
  VideoView<T> video() const {
    const auto& tensor = judged<T>(4, 4, "(frames, height, width, channels)");
    require_dense();
    return {static_cast<T*>(tensor.data), tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]};
  }
  /// A tensor of `rank` extents, dense, as one run of elements.
  template <class T>
  VectorView<T> dense(int rank, const char* layout) const {
    const auto& tensor = judged<T>(rank, rank, layout);
    require_dense();
    return {static_cast<T*>(tensor.data), elements()};
  }

 private:
  enum class Last { dense, any_stride };

  template <class T>
  const stepvideo_tensor& judged(int least_rank, int most_rank, const char* layout,
                                 Last last = Last::dense) const {
    return judged(element_of<std::remove_const_t<T>>, !std::is_const_v<T>, least_rank, most_rank, layout,
                  last);
  }
  const stepvideo_tensor& judged(stepvideo_element element, bool is_written, int least_rank, int most_rank,
                                 const char* layout, Last last) const;
  void require_dense() const;
  index_t elements() const;
  /// "attention: the tensor queries has ..."
  [[noreturn]] void refuse(const std::string& fact) const;

  const char *call_, *name_;
  Place place_;
  const stepvideo_tensor* tensor_;
};

/// Calls `function(T{})` for the one of T that `argument` is stored in.
template <class... T, class Function>
void dispatch_element(const char* place, const Argument& argument, Function&& function) {
  const std::int32_t element = argument.tensor().element;
  const bool found = ((element == element_of<T> ? (function(T{}), true) : false) || ...);
  require(found, [&] {
    std::string served;
    ((served += (served.empty() ? "" : ", ") + element_text(element_of<T>)), ...);
    return std::string(argument.call()) + ": the tensor " + argument.name() + " is " + element_text(element) +
           "; " + place + " serves " + served;
  });
}

/// The elements that an execution computes with.
template <class Function>
void dispatch_element(Host, const Argument& argument, Function&& function) {
  dispatch_element<float, bf16>("the CPU", argument, function);
}

}  // namespace stepvideo::c_abi
