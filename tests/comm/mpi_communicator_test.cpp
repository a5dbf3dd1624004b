// Ranks that are processes: mpirun starts mpi_rank.cpp.
#define BOOST_TEST_MODULE mpi_communicator
#include <chrono>
#include <cstdlib>
#include <string>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

#include "support/scratch_folder.hpp"

using stepvideo::testing::read_text, stepvideo::testing::ScratchFolder;

namespace {

struct Run {
  int exit_code = 0;
  std::string errors;
  double seconds = 0;
};

Run run_ranks(int ranks, const std::string& scenario) {
  const ScratchFolder scratch;
  const auto begin = std::chrono::steady_clock::now();
  const std::string line =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 "
      "OMPI_MCA_mpi_yield_when_idle=1 '" STEPVIDEO_MPIRUN "' --oversubscribe -n " +
      std::to_string(ranks) + " '" STEPVIDEO_MPI_RANK "' " + scenario + " >/dev/null 2>'" +
      (scratch / "err").string() + "' </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(scratch / "err"),
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

void check_fails(int ranks, const std::string& scenario, std::initializer_list<std::string> phrases) {
  const Run run = run_ranks(ranks, scenario);
  BOOST_CHECK_NE(run.exit_code, 0);
  BOOST_CHECK_LT(run.seconds, 30);
  BOOST_TEST_MESSAGE(scenario << ": " << run.seconds << " s");
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(run.errors.find(phrase) != std::string::npos,
                        "'" << run.errors << "' lacks: " << phrase);
}

}  // namespace

BOOST_AUTO_TEST_CASE(collectives_of_every_topology_are_exact) {
  for (const int ranks : {1, 2, 3, 4, 6}) {
    const Run run = run_ranks(ranks, "collectives");
    BOOST_CHECK_MESSAGE(run.exit_code == 0, ranks << " ranks: " << run.errors);
  }
}

BOOST_AUTO_TEST_CASE(attention_of_every_topology_has_one_ranks_bits) {
  for (const int ranks : {1, 3, 4}) {
    const Run run = run_ranks(ranks, "attention");
    BOOST_CHECK_MESSAGE(run.exit_code == 0, ranks << " ranks: " << run.errors);
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_takes_the_others_out) {
  check_fails(3, "throw",
              {"no memory\n", "rank 1 failed: no memory; rank 0 left all_reduce of ranks 0, 1, 2",
               "rank 1 failed: no memory; rank 2 left all_reduce of ranks 0, 1, 2"});
  check_fails(3, "throw_far_away",
              {"rank 2 failed: no memory; rank 0 left all_reduce of ranks 0, 1",
               "rank 2 failed: no memory; rank 1 left all_reduce of ranks 1, 2"});
}

BOOST_AUTO_TEST_CASE(a_rank_that_ends_early_is_not_waited_for) {
  check_fails(3, "end_early", {"rank 1 ended without entering all_reduce of ranks 0, 1, 2"});
}

BOOST_AUTO_TEST_CASE(ranks_that_disagree_are_named_with_both_values) {
  check_fails(2, "mismatch", {"all_reduce of ranks 0, 1: rank 0 has 4 elements and rank 1 has 5"});
  check_fails(3, "other_request", {"rank 0 has model ab12 and rank 2 has model ff00"});
  check_fails(3, "other_group",
              {"rank 0 calls all_reduce of ranks 0, 1 and rank 1 all_reduce of ranks 0, 1, 2"});
}

BOOST_AUTO_TEST_CASE(a_killed_rank_ends_the_run) {
  const Run run = run_ranks(3, "kill");
  BOOST_CHECK_NE(run.exit_code, 0);
  BOOST_CHECK_LT(run.seconds, 30);
}
