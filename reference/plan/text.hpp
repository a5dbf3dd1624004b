// Numbers and topologies as a reader takes them in.
#pragma once
#include <string>

#include <stepvideo/core/topology.hpp>

namespace stepvideo::plan {

inline constexpr double gibibyte = 1 << 30, gigabyte = 1e9;

/// Three significant digits: 0.0123, 1.23, 123, 12300.
std::string short_number(double value);
/// "0.35 s", "12.4 s", "6 min 20 s", "2 h 03 min", "41 days".
std::string duration(double seconds);
/// With the unit that keeps it short: "21.4 PFLOP".
std::string operations(double flops);
/// 75888 as "75,888".
std::string grouped(long long value);
/// As --topology takes it, without the degrees that are 1: "guidance=2,ulysses=2".
std::string to_text(Topology topology);

}  // namespace stepvideo::plan
