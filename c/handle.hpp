// What the handles of the C ABI hold: memory of one execution, which only units of that execution know.
#pragma once
#include <memory>

#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/rope/rope_table.hpp>

#include "place.hpp"
#include "stepvideo_c.h"

/// `owner` keeps what `view` shows.
struct stepvideo_rope_table {
  stepvideo::c_abi::Place place;
  std::shared_ptr<void> owner;
  stepvideo::RopeTableView view;
};

/// `data` are elements of `element`, packed for the execution.
struct stepvideo_conv_weight {
  stepvideo::c_abi::Place place;
  std::shared_ptr<void> owner;
  stepvideo_element element;
  stepvideo::ConvShape shape;
  const void* data;
};
