// --device: where a run's models shall live.
#pragma once
#include <string>
#include <string_view>

namespace stepvideo::place {

/// What was asked for, before anybody looked whether it is there.
struct Choice {
  enum class Kind { automatic, cpu, cuda };

  Kind kind = Kind::automatic;
  int ordinal = 0;   ///< of the GPUs that CUDA shows to this process
  std::string uuid;  ///< a GPU's or a MIG slice's; empty: the ordinal counts

  bool operator==(const Choice&) const = default;
};

/// "auto", "cpu", "cuda", "cuda:1", "GPU-..." or "MIG-..." (with or without "cuda:" before it). Throws
/// RequestError naming --device.
Choice parse_choice(std::string_view text);
/// As parse_choice() reads it.
std::string to_string(const Choice& choice);

}  // namespace stepvideo::place
