#include "plan/text.hpp"

#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace stepvideo::plan {

std::string short_number(double value) {
  if (value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e6)) return fmt::format("{:.2e}", value);
  const double size = std::abs(value);
  const int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string duration(double seconds) {
  constexpr double minute = 60, hour = 60 * minute, day = 24 * hour;
  if (seconds < minute - 0.05) return short_number(seconds) + " s";
  if (seconds < hour - 0.5) {
    const long long whole = std::llround(seconds);
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  }
  if (seconds < 2 * day) {
    const long long whole = std::llround(seconds / minute);
    return fmt::format("{} h {:02} min", whole / 60, whole % 60);
  }
  return short_number(seconds / day) + " days";
}

std::string operations(double flops) {
  constexpr const char* units[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"};
  std::size_t unit = 0;
  for (; flops >= 1000 && unit + 1 < std::size(units); ++unit) flops /= 1000;
  return fmt::format("{} {}", short_number(flops), units[unit]);
}

std::string grouped(long long value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

std::string to_text(Topology topology) {
  std::string text;
  const std::pair<const char*, int> degrees[] = {{"guidance", topology.guidance},
                                                 {"tensor", topology.tensor},
                                                 {"ulysses", topology.ulysses},
                                                 {"ring", topology.ring}};
  for (const auto& [name, degree] : degrees)
    if (degree > 1) text += fmt::format("{}{}={}", text.empty() ? "" : ",", name, degree);
  if (topology.sharding == Sharding::uneven && !text.empty()) text += ",sharding=uneven";
  return text.empty() ? "one rank" : text;
}

}  // namespace stepvideo::plan
