// The sizes that ramp runs before the request itself.
#pragma once
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>

namespace stepvideo::ramp {

/// One size on the way to the full request.
struct Rung {
  VideoShape video;
  int steps = 1;

  bool operator==(const Rung&) const = default;
};

/// "17 frames of 96x96, 2 steps".
std::string to_string(const Rung& rung);

/// Frames rise first (17, 34, 68, ..., at a quarter of height and width), then height and width (a quarter, a
/// half, all), then steps (2, 4, 8, ... up to half of those asked for). Every size is on the grid and none
/// exceeds the request; the request itself is among them only where nothing is smaller.
std::vector<Rung> ladder(const Rung& full);

}  // namespace stepvideo::ramp
