#include "commands/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"

namespace stepvideo::commands {

Topology parse_topology(std::string_view as_given) {
  const std::string text = io::lower_case(std::string(as_given));
  Topology topology;
  constexpr std::pair<std::string_view, Sharding> shardings[] = {{"sharding=even", Sharding::even},
                                                                 {"sharding=uneven", Sharding::uneven}};
  const auto degree_of = [&](std::string_view name) -> int* {
    if (name == "guidance") return &topology.guidance;
    if (name == "tensor") return &topology.tensor;
    if (name == "ulysses") return &topology.ulysses;
    if (name == "ring") return &topology.ring;
    return nullptr;
  };
  constexpr int largest_degree = 10'000;
  std::set<std::string_view> seen;
  for (std::optional<std::string_view> rest = std::string_view(text); rest;) {
    const auto comma = rest->find(',');
    const auto part = rest->substr(0, comma);
    rest = comma == part.npos ? std::nullopt : std::optional(rest->substr(comma + 1));
    const auto equals = part.find('=');
    const auto sharding = std::ranges::find(shardings, part, &std::pair<std::string_view, Sharding>::first);
    if (sharding != std::end(shardings) && seen.insert("sharding").second) {
      topology.sharding = sharding->second;
      continue;
    }
    int* const degree = equals == part.npos ? nullptr : degree_of(part.substr(0, equals));
    const auto digits = equals == part.npos ? std::string_view{} : part.substr(equals + 1);
    const auto [end, error] = degree != nullptr
                                  ? std::from_chars(digits.data(), digits.data() + digits.size(), *degree)
                                  : std::from_chars_result{nullptr, std::errc::invalid_argument};
    require(error == std::errc{} && end == digits.data() + digits.size() && *degree > 0 &&
                *degree <= largest_degree && seen.insert(part.substr(0, equals)).second,
            [&] {
              return fmt::format(
                  "--topology: '{}' cannot be read; write guidance=G,tensor=T,ulysses=U,ring=R, each once, "
                  "with whole numbers from 1 to {}, and sharding=uneven where shards may differ",
                  part, largest_degree);
            });
  }
  return topology;
}

std::size_t parse_size(const char* flag, const std::string& text) {
  constexpr std::array<std::pair<std::string_view, double>, 8> units{{{"", 1},
                                                                      {"b", 1},
                                                                      {"kb", 1e3},
                                                                      {"mb", 1e6},
                                                                      {"gb", 1e9},
                                                                      {"kib", 0x1p10},
                                                                      {"mib", 0x1p20},
                                                                      {"gib", 0x1p30}}};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit = io::lower_case({end, text.data() + text.size()});
  if (unit.starts_with(' ')) unit.erase(0, 1);
  double factor = 0;
  for (const auto& [name, bytes] : units)
    if (unit == name) factor = bytes;
  const double bytes = value * factor;
  require(error == std::errc{} && std::isfinite(bytes) && bytes >= 1 &&
              bytes < static_cast<double>(std::numeric_limits<std::int64_t>::max()),
          [&] {
            return fmt::format("{}: '{}' is not a size; 6GB, 5.5GiB and 500MB are, and bytes", flag, text);
          });
  return static_cast<std::size_t>(bytes);
}

}  // namespace stepvideo::commands
