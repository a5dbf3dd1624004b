// Cases that run everywhere put their inputs where the execution reads them, run the kernel and fetch its
// results. `Place` is where: the host, a GPU's default stream or another, or a graph captured on a stream.
#pragma once
#include <algorithm>
#include <cstddef>
#include <utility>

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
/// Whose memory a place has.
inline Host execution_of(Host) {
  return host;
}
/// Calls call(execution).
template <class Call>
void run(Host, Call&& call) {
  call(host);
}

#ifdef __CUDACC__
template <class T>
Buffer<T, Device> place(Device on, const Buffer<T>& values) {
  return to_device(values, on);
}
template <class T>
Buffer<T> fetch(Device on, const Buffer<T, Device>& values) {
  return to_host(values, on);
}
inline Device execution_of(Device on) {
  return on;
}
template <class Call>
void run(Device on, Call&& call) {
  call(on);
}

/// A stream of its own, which waits for no other stream.
class OwnStream {
 public:
  OwnStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;
  ~OwnStream() { cudaStreamDestroy(stream_); }
  operator Device() const { return {stream_}; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Each call is captured into a graph, which then runs once. The stream is one that the default stream waits
/// for: what a kernel gives to that one by mistake ends the capture with an error.
class InGraph {
 public:
  InGraph() { check(cudaStreamCreate(&stream_)); }
  InGraph(const InGraph&) = delete;
  InGraph& operator=(const InGraph&) = delete;
  ~InGraph() { cudaStreamDestroy(stream_); }
  Device stream() const { return {stream_}; }

 private:
  cudaStream_t stream_ = nullptr;
};

template <class T>
Buffer<T, Device> place(const InGraph& on, const Buffer<T>& values) {
  return place(on.stream(), values);
}
template <class T>
Buffer<T> fetch(const InGraph& on, const Buffer<T, Device>& values) {
  return fetch(on.stream(), values);
}
inline Device execution_of(const InGraph& on) {
  return on.stream();
}
template <class Call>
void run(const InGraph& on, Call&& call) {
  const cudaStream_t stream = on.stream().stream;
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  try {
    call(on.stream());
  } catch (...) {  // what refuses a request does so here as well
    cudaStreamEndCapture(stream, &graph);
    cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph, 0));
  check(cudaGraphLaunch(executable, stream));
  synchronize(on.stream());
  check(cudaGraphExecDestroy(executable));
  check(cudaGraphDestroy(graph));
}
#endif

/// Where `place` puts buffers of T.
template <class T, class Place>
using PlacedBuffer = decltype(place(std::declval<const Place&>(), std::declval<const Buffer<T>&>()));

/// The same bits in the same places.
template <class T>
bool same_bits(const Buffer<T>& a, const Buffer<T>& b) {
  return std::equal(
      reinterpret_cast<const std::byte*>(a.begin()), reinterpret_cast<const std::byte*>(a.end()),
      reinterpret_cast<const std::byte*>(b.begin()), reinterpret_cast<const std::byte*>(b.end()));
}

}  // namespace stepvideo::testing
