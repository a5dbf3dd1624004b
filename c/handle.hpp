// What the handles of the C ABI hold: memory of one execution, which only units of that execution know.
#pragma once
#include <memory>
#include <optional>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/rope/rope_table.hpp>

#include "argument.hpp"
#include "stepvideo_c.h"

namespace stepvideo::c_abi {

/// Where a handle's memory lies: no GPU is the CPU.
struct HandlePlace {
  std::optional<int> gpu{};

  friend bool operator==(HandlePlace, HandlePlace) = default;
};

}  // namespace stepvideo::c_abi

/// `owner` keeps what `view` shows.
struct stepvideo_rope_table {
  stepvideo::c_abi::HandlePlace place;
  std::shared_ptr<void> owner;
  stepvideo::RopeTableView view;
};

/// `data` are elements of `element`, packed for the execution.
struct stepvideo_conv_weight {
  stepvideo::c_abi::HandlePlace place;
  std::shared_ptr<void> owner;
  stepvideo_element element;
  stepvideo::ConvShape shape;
  const void* data;
};
