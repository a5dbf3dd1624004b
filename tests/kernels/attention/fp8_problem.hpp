// Inputs of the fp8 attention tests in the memory of any execution, and the way back.
#pragma once
#include <algorithm>
#include <concepts>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/transfer.hpp>

#include "support/random_input.hpp"

namespace stepvideo::testing {

/// A copy in the memory of `execution`.
template <Execution E, class T>
Buffer<T, E> carry(E execution, const Buffer<T>& values) {
  Buffer<T> copied(values.size());
  std::copy(values.begin(), values.end(), copied.begin());
  return transfer(execution, std::move(copied));
}

/// A copy in host memory.
template <Execution E, class T>
Buffer<T> bring(const Buffer<T, E>& values) {
  Buffer<T> result(values.size());
  if constexpr (std::same_as<E, Host>) {
    std::copy(values.begin(), values.end(), result.begin());
  } else {
    copy(values.execution(), values, result);
    synchronize(values.execution());
  }
  return result;
}

/// Normal values, of which one in a thousand is ten times as large.
template <class T>
Buffer<T> random_with_outliers(index_t size, std::mt19937& engine) {
  auto values = random_normal<T>(size, engine);
  for (T& value : values)
    if (random_int(engine, 0, 999) == 0) value = T(10 * float(value));
  return values;
}

/// (batch, tokens, heads, dim) in one of three orders in memory; the last, a slice of a packed projection, is
/// off the 16-byte grid.
template <class T>
struct StridedHeads {
  Buffer<T> storage;
  HeadsView<T> view;  ///< of host memory

  StridedHeads(std::mt19937& engine, int order, index_t batch, index_t tokens, index_t heads, index_t dim,
               bool outliers = false) {
    const index_t width = order == 2 ? heads * (dim + 3) + 1 : heads * dim, size = batch * tokens * width;
    storage = outliers ? random_with_outliers<T>(size, engine) : random_normal<T>(size, engine);
    view = order == 0 ? HeadsView<T>::dense(storage.data(), batch, tokens, heads, dim)
           : order == 1
               ? HeadsView<T>::head_major(storage.data(), batch, tokens, heads, dim)
               : HeadsView<T>{storage.data() + 1, batch, tokens, heads, dim, tokens * width, width, dim + 3};
  }
  /// The view of a copy of the storage.
  template <Execution E>
  HeadsView<T> in(const Buffer<T, E>& copied) const {
    HeadsView<T> there = view;
    there.data = copied.data() + (view.data - storage.data());
    return there;
  }
};

}  // namespace stepvideo::testing
