// What a device and the link between devices give, from data files that name the source of every number.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace stepvideo::plan {

enum class Arithmetic { fp32, bf16, fp8 };
inline constexpr std::array all_arithmetics = {Arithmetic::fp32, Arithmetic::bf16, Arithmetic::fp8};

const char* to_string(Arithmetic arithmetic);
/// Throws RequestError naming --precision.
Arithmetic parse_arithmetic(const std::string& text);

/// Attained operations a second: peak times efficiency.
struct Rates {
  double peak = 0;
  double linear = 0, attention = 0, convolution = 0;
};

struct Hardware {
  std::string name;
  std::string description;
  bool is_host = false;  ///< a CPU: ranks are equal parts of it, in this machine's memory
  int ranks_on_each = 1;  ///< that share one, and its memory
  double memory_bytes = 0;
  double reserved_bytes = 0;           ///< context and libraries, per rank
  double memory_bytes_per_second = 0;  ///< attained
  std::string link;                    ///< the link that such devices usually have
  double host_bytes_per_second = 0;    ///< from host memory, attained: what streaming weights costs
  std::array<std::optional<Rates>, all_arithmetics.size()> rates = {};

  /// Throws RequestError naming the device and the precisions it has.
  const Rates& at(Arithmetic arithmetic) const;
};

/// Bytes that one rank sends in a second, by collective.
struct Link {
  std::string name;
  std::string description;
  double all_to_all_bytes_per_second = 0;
  double all_reduce_bytes_per_second = 0;
  double send_bytes_per_second = 0;
  double network_bytes_per_second = 0;  ///< beyond a host, for any collective
  double latency_seconds = 0;           ///< of one collective, whatever its size
  int ranks_per_host = 8;
  double buffer_bytes = 0;  ///< that the communicators of one rank hold
};

/// A built-in name (see hardware_names()) or the path of a file of the same form. Throws RequestError: a name
/// that is neither (listing the names), a file with a field that is missing, of the wrong kind, or out of
/// range (naming file and field). "cpu" has the memory of this machine.
Hardware load_hardware(const std::string& name_or_file);
Link load_link(const std::string& name_or_file);
std::vector<std::string> hardware_names();
std::vector<std::string> link_names();

}  // namespace stepvideo::plan
