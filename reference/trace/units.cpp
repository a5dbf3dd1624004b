#include "trace/units.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace stepvideo::trace {

std::string seconds_text(double seconds) {
  if (std::abs(seconds) < 1) return fmt::format("{:.1f} ms", 1e3 * seconds);
  if (std::abs(seconds) < 60) return fmt::format("{:.2f} s", seconds);
  const auto whole = std::llround(std::min(std::abs(seconds), 1e15));
  const char* const sign = seconds < 0 ? "-" : "";
  if (whole < 3600) return fmt::format("{}{} min {:02} s", sign, whole / 60, whole % 60);
  return fmt::format("{}{} h {:02} min", sign, whole / 3600, whole / 60 % 60);
}

std::string bytes_text(double bytes) {
  if (bytes < 1e9) return fmt::format("{:.0f} MB", bytes * 1e-6);
  return fmt::format("{:.1f} GB", bytes * 1e-9);
}

}  // namespace stepvideo::trace
