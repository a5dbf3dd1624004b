// Ranks that mpirun starts, and what may happen to one of them.
#define BOOST_TEST_MODULE mpi_launch
#include "reference/process_runs.hpp"

using namespace stepvideo::testing;

namespace {

/// Where mpirun and its ranks keep what they need while they run, each run by itself.
const fs::path& session_folder() {
  static const ScratchFolder folder;
  return folder.path();
}

std::vector<pid_t> by_mpirun(int ranks, const StringList& arguments, const fs::path& errors) {
  const StringList launch{STEPVIDEO_MPIRUN, "--oversubscribe", "-n", std::to_string(ranks),
                          STEPVIDEO_PROGRAM};
  return {start_process(with(launch, arguments), errors,
                        {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMP_NUM_THREADS=1",
                         "OMPI_MCA_mpi_yield_when_idle=1", "TMPDIR=" + session_folder().string(),
                         "OMPI_MCA_btl_vader_backing_directory=" + session_folder().string(),
                         "LD_PRELOAD=" STEPVIDEO_EXIT_ON_SIGNAL})};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_that_is_killed_or_stopped_or_exits_at_any_step_is_named_and_the_run_goes_on) {
  check_faults(by_mpirun, 50, [](const Fault& fault) {
    const std::string rank = "rank " + std::to_string(fault.rank);
    return fault.kind == Fault::stopped ? "stepvideo: " + rank + " is " : "process " + rank;
  });
  BOOST_CHECK(fs::is_empty(session_folder()));
}
