// How far the host may run ahead of the work that it hands out.
#pragma once
#include <concepts>

#include <stepvideo/core/execution.hpp>

namespace stepvideo::pipeline {

/// keep() after each piece of work waits until all but the last two pieces are done: a stop is then obeyed
/// after two more, and the execution never waits for the host. A GPU's takes how to wait for its events, and
/// is in pipeline/pace.cuh.
template <Execution E>
class Pace {
  static_assert(std::same_as<E, Host>, "a Device's Pace is in pipeline/pace.cuh");

 public:
  explicit Pace(Host) {}
  template <class Wait>
  void keep(Wait&&) {}  // the host's work is done when it returns
};

}  // namespace stepvideo::pipeline
