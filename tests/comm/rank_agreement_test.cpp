#define BOOST_TEST_MODULE rank_agreement
#include <atomic>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/rank_agreement.hpp>
#include <stepvideo/comm/thread_communicator.hpp>

using namespace stepvideo;

namespace {

const Group world{0, 1, 4};

/// What all four ranks throw when rank `rank` alone has `facts`; they must throw the same.
std::string refusal(int rank, const std::vector<SharedFact>& facts) {
  const std::vector<SharedFact> usual{{"topology", "ulysses=4"}, {"prompt", ""}, {"model", "ab12"}};
  std::string messages[4];
  run_on_threads(4, [&](ThreadCommunicator& communicator) {
    std::string& message = messages[communicator.rank()];
    message = "nothing was refused";
    try {
      require_same_facts(communicator, host, world, communicator.rank() == rank ? facts : usual);
    } catch (const RequestError& error) {
      message = error.what();
    }
  });
  for (const auto& message : messages) BOOST_CHECK_EQUAL(message, messages[0]);
  return messages[0];
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_that_was_asked_for_something_else_is_named_on_all_ranks) {
  const std::string advice = "; start all ranks with the same request, model and version";
  BOOST_CHECK_EQUAL(refusal(2, {{"topology", "ulysses=4"}, {"prompt", ""}, {"model", "ab12"}}),
                    "nothing was refused");
  BOOST_CHECK_EQUAL(refusal(2, {{"topology", "ulysses=4"}, {"prompt", ""}, {"model", "ff00"}}),
                    "rank 0 has model ab12 and rank 2 has model ff00" + advice);
  BOOST_CHECK_EQUAL(refusal(0, {{"topology", "ring=4"}, {"prompt", ""}, {"model", "ab12"}}),
                    "rank 0 has topology ring=4 and rank 1 has topology ulysses=4" + advice);
  BOOST_CHECK_EQUAL(refusal(3, {{"topology", "ulysses=4"}, {"prompt", ""}}),
                    "rank 0 has model ab12 and rank 3 has no model" + advice);
  BOOST_CHECK_EQUAL(refusal(3, {}), "rank 0 has topology ulysses=4 and rank 3 has no topology" + advice);
  // What one rank alone has is named, and not what stands in its place with the others.
  BOOST_CHECK_EQUAL(
      refusal(1, {{"topology", "ulysses=4"}, {"preset", "turbo"}, {"prompt", ""}, {"model", "ab12"}}),
      "rank 0 has no preset and rank 1 has preset turbo" + advice);
  BOOST_CHECK_EQUAL(
      refusal(0, {{"topology", "ulysses=4"}, {"preset", "turbo"}, {"prompt", ""}, {"model", "ab12"}}),
      "rank 0 has preset turbo and rank 1 has no preset" + advice);
  BOOST_CHECK_EQUAL(
      refusal(2, {{"topology", "ulysses=4"}, {"prompt", ""}, {"model", "ab12"}, {"weights", "random:1"}}),
      "rank 0 has no weights and rank 2 has weights random:1" + advice);
}

BOOST_AUTO_TEST_CASE(all_ranks_stop_behind_the_same_step) {
  std::atomic<int> steps[4] = {};
  run_on_threads(4, [&](ThreadCommunicator& communicator) {
    const int rank = communicator.rank();
    // Rank 2 is asked in step 5, rank 1 not before step 9.
    do {
      ++steps[rank];
    } while (!any_rank_stops(communicator, host, world,
                             (rank == 2 && steps[rank] >= 5) || (rank == 1 && steps[rank] >= 9)));
  });
  for (const auto& of_rank : steps) BOOST_CHECK_EQUAL(of_rank, 5);
}
