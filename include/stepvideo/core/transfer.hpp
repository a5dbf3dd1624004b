// Between buffers, and from the host's memory to an execution's.
#pragma once
#include <concepts>
#include <utility>

#include <stepvideo/core/buffer.hpp>

namespace stepvideo {

/// The values in the memory of `execution`; on the host, the very same buffer. For a device include
/// core/device.cuh, which has the copy; the host memory is free again when this returns.
template <Execution E, class T>
Buffer<T, E> transfer(E execution, Buffer<T, Host>&& values) {
  if constexpr (std::same_as<E, Host>) {
    return std::move(values);
  } else {
    Buffer<T, E> result(execution, values.size());
    copy(execution, values, result);
    synchronize(execution);
    return result;
  }
}

}  // namespace stepvideo
