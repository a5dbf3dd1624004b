// Ranks that mpirun starts: mpi_rank.cpp.
#define BOOST_TEST_MODULE mpi_wire
#include "comm/process_cases.hpp"
#include "support/processes.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo::testing;

ProcessRun stepvideo::testing::start_ranks(int ranks, const std::string& scenario) {
  const ScratchFolder scratch;
  const auto begin = std::chrono::steady_clock::now();
  const std::string line =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 "
      "OMPI_MCA_mpi_yield_when_idle=1 '" STEPVIDEO_MPIRUN "' --oversubscribe -n " +
      std::to_string(ranks) + " '" STEPVIDEO_MPI_RANK "' " + scenario + " >/dev/null 2>'" +
      (scratch / "err").string() + "' </dev/null";
  const int status = std::system(line.c_str());
  return {exit_code_of(status), read_text(scratch / "err"),
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

BOOST_AUTO_TEST_CASE(a_killed_rank_ends_the_run) {
  check_fails(3, "kill", {});
}
