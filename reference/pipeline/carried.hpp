// Values of the host at the execution that works on them.
#pragma once
#include <concepts>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo::pipeline {

/// A read-only copy of the host's values in the memory of `E`; on the host, the very values, which must then
/// outlive it.
template <class T, Execution E>
class Carried {
 public:
  Carried(E execution, const T* values, index_t size) {
    if constexpr (std::same_as<E, Host>) {
      data_ = values;
    } else {
      copy_ = Buffer<T, E>(execution, size);
      upload(execution, values, copy_.vector());
      data_ = copy_.data();
    }
  }
  Carried(E execution, const Buffer<T>& values) : Carried(execution, values.data(), values.size()) {}

  const T* data() const { return data_; }

 private:
  Buffer<T, E> copy_;
  const T* data_ = nullptr;
};

/// `view`, of the host's values, over `carried` ones.
template <class T, Execution E>
TokensView<const T> over(const Carried<T, E>& carried, TokensView<const T> view) {
  view.data = carried.data();
  return view;
}

}  // namespace stepvideo::pipeline
