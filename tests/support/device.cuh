// Device tests skip themselves, visibly, where there is no GPU.
#pragma once
#include <cstddef>
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

/// Boost's precondition of a case that needs this many bytes of the GPU at once; it is reported as skipped
/// where they are not free.
struct NeedsDeviceBytes {
  std::size_t bytes;

  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    boost::test_tools::assertion_result result(free >= bytes);
    result.message() << "needs " << bytes / 1'000'000'000 << " GB of the GPU's memory, "
                     << free / 1'000'000'000 << " are free";
    if (free < bytes) std::printf("skipped: a case %s\n", result.message().str().c_str());
    return result;
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
