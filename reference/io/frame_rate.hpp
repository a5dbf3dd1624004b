// Frames a second, exactly: 30000/1001 is no decimal.
#pragma once
#include <string>

namespace stepvideo::io {

struct FrameRate {
  int numerator = 25, denominator = 1;

  constexpr double value() const { return static_cast<double>(numerator) / denominator; }
  constexpr bool operator==(const FrameRate&) const = default;
};

/// From 0.01 to 1000, what parse_frame_rate() takes.
constexpr bool is_usual(FrameRate rate) {
  return rate.value() >= 0.01 && rate.value() <= 1000;
}

/// "25", "30000/1001".
std::string to_string(FrameRate rate);

/// Reads "25", "12.5", "30000/1001"; "23.976", "29.97" and "59.94" mean N x 1000/1001, as broadcasters write
/// them. Throws RequestError naming `place` unless it is such a number, from 0.01 to 1000.
FrameRate parse_frame_rate(const std::string& place, const std::string& text);

}  // namespace stepvideo::io
