// Ranks that mpirun starts: mpi_rank.cpp.
#define BOOST_TEST_MODULE mpi_wire
#include "comm/process_cases.hpp"
#include "support/processes.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo::testing;

namespace {

ProcessRun start_ranks(int ranks, const std::string& scenario) {
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

}  // namespace

BOOST_AUTO_TEST_CASE(collectives_of_every_topology_are_exact_and_attention_has_one_ranks_bits) {
  check_collectives(start_ranks);
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_or_ends_early_takes_the_others_out) {
  check_failures(start_ranks);
}

BOOST_AUTO_TEST_CASE(ranks_that_disagree_are_named_with_both_values) {
  check_disagreements(start_ranks);
}

BOOST_AUTO_TEST_CASE(a_killed_rank_ends_the_run) {
  check_fails(start_ranks, 3, "kill", {});
}
