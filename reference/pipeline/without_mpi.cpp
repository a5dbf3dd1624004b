// A build without MPI runs in one process.
#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "launch/environment.hpp"
#include "pipeline/process_ranks.hpp"

namespace stepvideo::pipeline {

ProcessRanks* process_ranks() {
  return nullptr;
}

void on_processes(const std::function<void()>& command) {
  require(launch::launched_processes() == 1, [] {
    return fmt::format(
        "{} processes were started for this run, and this program was built without MPI; --gpus {} makes as "
        "many ranks in one process",
        launch::launched_processes(), launch::launched_processes());
  });
  command();
}

}  // namespace stepvideo::pipeline
