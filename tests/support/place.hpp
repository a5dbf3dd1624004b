// Cases that run on every execution put their inputs where it reads them and fetch its results.
#pragma once
#include <algorithm>

#include <stepvideo/core/buffer.hpp>
#ifdef __CUDACC__
#include "support/device.cuh"
#endif

namespace stepvideo::testing {

template <class T>
Buffer<T> place(Host, const Buffer<T>& values) {
  Buffer<T> result(values.size());
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}
template <class T>
Buffer<T> fetch(Host, const Buffer<T>& values) {
  return place(host, values);
}

#ifdef __CUDACC__
template <class T>
Buffer<T, Device> place(Device, const Buffer<T>& values) {
  return to_device(values);
}
template <class T>
Buffer<T> fetch(Device, const Buffer<T, Device>& values) {
  return to_host(values);
}
#endif

/// The same bits in the same places.
template <class T>
bool same_bits(const Buffer<T>& a, const Buffer<T>& b) {
  return std::equal(
      reinterpret_cast<const std::byte*>(a.begin()), reinterpret_cast<const std::byte*>(a.end()),
      reinterpret_cast<const std::byte*>(b.begin()), reinterpret_cast<const std::byte*>(b.end()));
}

}  // namespace stepvideo::testing
