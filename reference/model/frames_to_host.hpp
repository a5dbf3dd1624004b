// Decoded frames on their way to the host.
#pragma once
#include <concepts>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo::model {

/// pass(chunk, is_last, deliver) calls deliver(chunk in the host's memory, is_last) for every chunk, in
/// order, at the latest in the call for the last. A GPU's, in frames_to_host.cuh, delivers a chunk while the
/// next one is worked on.
template <Execution E>
class FramesToHost {
  static_assert(std::same_as<E, Host>, "a Device's FramesToHost is in model/frames_to_host.cuh");

 public:
  explicit FramesToHost(Host) {}

  template <class Deliver>
  void pass(VideoView<float> chunk, bool is_last, const Deliver& deliver) {
    deliver(chunk, is_last);
  }
};

}  // namespace stepvideo::model
