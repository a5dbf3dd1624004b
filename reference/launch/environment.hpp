// What a launcher of processes says to each of them.
#pragma once
#include <functional>
#include <optional>

#include <stepvideo/comm/rendezvous.hpp>

namespace stepvideo::launch {

/// How this process was started.
struct Launched {
  int ranks = 1;  ///< processes of the run; 1 without a launcher
  int here = 1;   ///< how many of them are on this host
  int local = 0;  ///< which of those this one is
  /// How they find each other; without it, over MPI.
  std::optional<Rendezvous> meeting = {};
};

/// A variable's value, or nullptr.
using Environment = std::function<const char*(const char* name)>;

/// Reads what mpirun, torchrun, srun or, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, anything else
/// has set, in this order. Throws RequestError naming the variable that is missing or wrong.
Launched launched_by(const Environment& environment);
/// By this process' environment.
Launched launched();

}  // namespace stepvideo::launch
