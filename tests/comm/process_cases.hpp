// What ranks that are processes must do, however they are started: test cases of the test that includes this,
// which says how.
#pragma once
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

namespace stepvideo::testing {

struct ProcessRun {
  int exit_code = 0;  ///< of the launcher: 0 where every rank ended with 0
  std::string errors;
  double seconds = 0;
};

/// Starts so many ranks for a scenario of comm/process_scenarios.hpp and waits for all of them. Each test has
/// its own.
ProcessRun start_ranks(int ranks, const std::string& scenario);

inline void check_done(const std::string& scenario, std::initializer_list<int> ranks) {
  for (const int count : ranks) {
    const ProcessRun run = start_ranks(count, scenario);
    BOOST_CHECK_MESSAGE(run.exit_code == 0, count << " ranks: " << run.errors);
  }
}

inline void check_fails(int ranks, const std::string& scenario, const std::vector<std::string>& phrases) {
  const ProcessRun run = start_ranks(ranks, scenario);
  BOOST_CHECK_NE(run.exit_code, 0);
  BOOST_CHECK_LT(run.seconds, 30);
  BOOST_TEST_MESSAGE(scenario << ": " << run.seconds << " s");
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(run.errors.find(phrase) != std::string::npos,
                        "'" << run.errors << "' lacks: " << phrase);
}

BOOST_AUTO_TEST_CASE(collectives_of_every_topology_are_exact_and_attention_has_one_ranks_bits) {
  check_done("collectives", {1, 2, 3, 4, 6});
  check_done("attention", {1, 3, 4});
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_or_ends_early_takes_the_others_out) {
  check_fails(3, "throw",
              {"no memory\n", "rank 1 failed: no memory; rank 0 left all_reduce of ranks 0, 1, 2",
               "rank 1 failed: no memory; rank 2 left all_reduce of ranks 0, 1, 2"});
  check_fails(3, "throw_far_away",
              {"rank 2 failed: no memory; rank 0 left all_reduce of ranks 0, 1",
               "rank 2 failed: no memory; rank 1 left all_reduce of ranks 1, 2"});
  check_fails(3, "end_early", {"rank 1 ended without entering all_reduce of ranks 0, 1, 2"});
}

BOOST_AUTO_TEST_CASE(ranks_that_disagree_are_named_with_both_values) {
  check_fails(2, "mismatch", {"all_reduce of ranks 0, 1: rank 0 has 4 elements and rank 1 has 5"});
  check_fails(3, "other_request", {"rank 0 has model ab12 and rank 2 has model ff00"});
  check_fails(3, "other_group",
              {"rank 0 calls all_reduce of ranks 0, 1 and rank 1 all_reduce of ranks 0, 1, 2"});
}

}  // namespace stepvideo::testing
