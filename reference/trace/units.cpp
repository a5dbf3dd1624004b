#include "trace/units.hpp"

#include <algorithm>
#include <array>
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
  if (bytes < 1e3) return fmt::format("{:.0f} B", bytes);
  constexpr std::array units{"kB", "MB", "GB", "TB"};
  double size = bytes * 1e-3;
  std::size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < units.size(); ++unit) size *= 1e-3;
  if (unit >= 2) return fmt::format("{:.1f} {}", size, units[unit]);
  return size < 10 ? fmt::format("{:.2g} {}", size, units[unit])
                   : fmt::format("{:.0f} {}", size, units[unit]);
}

}  // namespace stepvideo::trace
