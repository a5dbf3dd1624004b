#include "pipeline/process_ranks.hpp"

#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <omp.h>

#include <stepvideo/comm/process_communicator.hpp>

#include "exit_code.hpp"
#include "launch/environment.hpp"
#include "launch/mpi.hpp"
#include "pipeline/wired_ranks.hpp"

namespace stepvideo::pipeline {
namespace {

ProcessRanks* the_ranks = nullptr;

/// The OpenMP threads of this process, where nobody says how many: its part of the host.
void divide_threads(int processes_here) {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (omp_get_num_procs() < cores) return;  // the launcher has given it its own
  omp_set_num_threads(std::max(1, cores / processes_here));
}

std::unique_ptr<RankWire> wire_of(const launch::Launched& launched) {
  if (!launched.meeting) return launch::mpi_wire(launched.ranks);
  return std::make_unique<SocketWire>(launched.meeting->rank, meet_ranks(*launched.meeting));
}

}  // namespace

ProcessRanks* process_ranks() {
  return the_ranks;
}

ProcessRanks* set_process_ranks(ProcessRanks* ranks) {
  return std::exchange(the_ranks, ranks);
}

void on_processes(const std::function<void()>& command) {
  const launch::Launched launched = launch::launched();
  if (launched.ranks == 1) return command();
  divide_threads(launched.here);
  const std::unique_ptr<RankWire> wire = wire_of(launched);
  const int rank = wire->rank();
  ProcessMessages messages(*wire);
  try {
    with_ranks(messages, {}, [&](WiredRanks& ranks) {
      command();
      if (rank == 0) ranks.say({});
    });
  } catch (const RequestError&) {
    if (rank != 0) throw ExitCode{2};
    throw;
  } catch (const RankLost&) {
    if (rank != messages.first_left()) throw ExitCode{1};
    throw;
  } catch (const Interrupted&) {
    if (rank != 0) throw ExitCode{1};
    throw;
  }
}

}  // namespace stepvideo::pipeline
