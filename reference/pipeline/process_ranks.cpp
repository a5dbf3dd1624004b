#include "pipeline/process_ranks.hpp"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <fmt/format.h>
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

std::unique_ptr<WorldWire> wire_of(const launch::Launched& launched) {
  if (!launched.meeting) return launch::mpi_wire(launched.ranks);
  return std::make_unique<SocketWire>(launched.meeting->rank, meet_ranks(*launched.meeting));
}

/// Ends this process, whatever its main thread does: it has not found a loss by itself.
[[noreturn]] void end_from_outside(Heartbeat& heartbeat, WorldWire& wire) {
  using Clock = std::chrono::steady_clock;
  const Losses::Loss loss = heartbeat.loss().value();
  begin_the_end(&heartbeat, fmt::format("rank {} {}", loss.rank, loss.why), heartbeat.is_speaker());
  for (const auto begin = Clock::now(); !heartbeat.have_others_left() && Clock::now() - begin < longest_end;)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  end_now(wire);
}

/// Calls `work(Heartbeat&)`. Where a rank is lost meanwhile and `work` throws, the process ends here: with a
/// stopped rank no wire comes to its end.
template <class Work>
void with_heartbeat(WorldWire& wire, Work&& work) {
  Heartbeat heartbeat(wire, Heartbeat::Seconds(default_longest_silence),
                      {.has_signal = AgreedInterrupts::signal_came,
                       .on_signal = interrupt_this_process,
                       .on_neglect = [&] { end_from_outside(heartbeat, wire); }});
  try {
    work(heartbeat);
  } catch (const std::exception& error) {
    if (!heartbeat.loss()) throw;
    begin_the_end(&heartbeat, error.what(), heartbeat.is_speaker());
    end_now(wire);
  }
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
  const std::unique_ptr<WorldWire> wire = wire_of(launched);
  const int rank = wire->rank();
  ProcessMessages messages(*wire);
  try {
    with_heartbeat(*wire, [&](Heartbeat& heartbeat) {
      with_ranks(messages, {}, &heartbeat, [&](WiredRanks& ranks) {
        try {
          command();
          if (rank == 0) ranks.say({});
        } catch (...) {
          // What it wrote down is there: it waits for the others alone.
          if (heartbeat.loss()) heartbeat.set_patience(Heartbeat::Seconds(longest_end)), heartbeat.leave();
          throw;
        }
      });
    });
  } catch (const RequestError&) {
    if (rank != 0) throw ExitCode{2};
    throw;
  } catch (const RankLost&) {
    if (rank != messages.first_left()) throw ExitCode{is_signalled() ? interrupt_exit_code() : 1};
    throw;
  } catch (const Interrupted&) {
    if (rank != 0) throw ExitCode{is_signalled() ? interrupt_exit_code() : 0};
    throw;
  }
}

}  // namespace stepvideo::pipeline
