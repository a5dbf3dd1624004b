// What the links between a host's GPUs, and between host and GPU, give.
#pragma once
#include <filesystem>
#include <optional>

#include "pipeline/ranks.hpp"
#include "place/place.hpp"

namespace stepvideo::commands {

struct LinksBenchRequest {
  int ranks = 2;                              ///< of the place, with a GPU each or sharing one
  pipeline::ExchangeOptions exchange = {};    ///< automatic: both ways, where this program has NCCL
  std::optional<std::filesystem::path> save;  ///< where the rates go, as `plan --link` reads them
};

/// Measures copies between pinned memory and each GPU, and what ranks exchange of a step at 544x992x204, and
/// prints them; by copies between GPUs and by NCCL. Throws RequestError for a build without the benches,
/// Error where CUDA or NCCL fails.
void bench_links(const place::Place& place, const LinksBenchRequest& request);

}  // namespace stepvideo::commands
