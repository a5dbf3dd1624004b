// Device tests skip themselves, visibly, where there is no GPU.
#pragma once
#include <cstdio>
#include <cstdlib>

#include <boost/test/unit_test.hpp>

#include <stepvideo/core/device.cuh>

namespace stepvideo::testing {

/// Ends the program as skipped (exit code 77, which CTest reads as "Skipped") without a usable GPU.
struct NeedsDevice {
  NeedsDevice() {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return;
    std::puts("skipped: this machine has no CUDA GPU");
    std::fflush(stdout);
    std::_Exit(77);
  }
};

template <class T>
Buffer<T, Device> to_device(const Buffer<T>& values, Device on = device) {
  Buffer<T, Device> result(on, values.size());
  copy(on, values, result);
  return result;
}

template <class T>
Buffer<T> to_host(const Buffer<T, Device>& values, Device on = device) {
  Buffer<T> result(values.size());
  copy(on, values, result);
  synchronize(on);
  return result;
}

}  // namespace stepvideo::testing
