#define BOOST_TEST_MODULE thread_communicator
#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include <stepvideo/comm/thread_communicator.hpp>

#include "comm/communicator_cases.hpp"
#include "support/compare.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

void check(const Findings& findings) {
  for (const auto& what : findings.found()) BOOST_ERROR(what);
}

void on_groups(auto&& exchange) {
  const auto on_threads = [](int ranks, auto&& work) { run_on_threads(ranks, work); };
  for (const auto& what : find_on_groups(on_threads, exchange)) BOOST_ERROR(what);
}

/// What run_on_threads throws, and how long it took.
struct Ending {
  std::string message = "nothing was thrown";
  double seconds = 0;
};
Ending ending_of(int ranks, auto&& work) {
  Ending ending;
  const auto begin = std::chrono::steady_clock::now();
  try {
    run_on_threads(ranks, work);
  } catch (const std::exception& error) {
    ending.message = error.what();
  }
  ending.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return ending;
}
void check_message(const Ending& ending, const std::string& phrase) {
  BOOST_CHECK_MESSAGE(ending.message.find(phrase) != std::string::npos,
                      "'" << ending.message << "' lacks: " << phrase);
  BOOST_CHECK_LT(ending.seconds, 10);
}

}  // namespace

BOOST_AUTO_TEST_CASE(sums_of_every_group_are_exact) {
  on_groups([](ThreadCommunicator& communicator, const Group& group, Findings& findings) {
    find_wrong_sums<float>(communicator, group, findings);
    find_wrong_sums<bf16>(communicator, group, findings);
    find_wrong_sums<fp16>(communicator, group, findings);
  });
}

BOOST_AUTO_TEST_CASE(elements_of_every_group_arrive) {
  on_groups([](ThreadCommunicator& communicator, const Group& group, Findings& findings) {
    find_lost_elements<float>(communicator, group, findings);
    find_lost_elements<bf16>(communicator, group, findings);
    find_lost_elements<fp8_e4m3>(communicator, group, findings);
  });
}

BOOST_AUTO_TEST_CASE(sums_have_one_order_and_16_bit_elements_round_once) {
  // 256 + 1 + 1 is 258 in float32; rounding to bf16 at each rank would stay at 256.
  for (int repeat = 0; repeat < 20; ++repeat)
    run_on_threads(3, [](ThreadCommunicator& communicator) {
      const Group world{0, 1, 3};
      std::vector<bf16> values{bf16(communicator.rank() == 0 ? 256.0f : 1.0f)};
      communicator.all_reduce(host, world, view_of(values));
      if (float(values[0]) != 258.0f) throw Error("the sum is " + std::to_string(float(values[0])));
      // (1 + 1e8) - 1e8 is 0 and 1 + (1e8 - 1e8) is 1: the ranks' order is the sum's.
      const float terms[] = {1.0f, 1e8f, -1e8f};
      std::vector<float> sum{terms[communicator.rank()]};
      communicator.all_reduce(host, world, view_of(sum));
      if (sum[0] != (1.0f + 1e8f) - 1e8f) throw Error("another order");
    });
}

BOOST_AUTO_TEST_CASE(groups_of_one_rank_need_no_other) {
  const Group alone{2, 1, 1};
  ThreadMeetings meetings(4);  // whose other ranks never come
  ThreadCommunicator communicator(meetings, 2);
  std::vector<float> values{1, 2, 3}, received(3, 99.0f);
  const std::vector<index_t> counts{3};
  communicator.all_reduce(host, alone, view_of(values));
  communicator.broadcast(host, alone, view_of(values), 0);
  communicator.all_gather(host, alone, view_of(values), counts, view_of(values));
  BOOST_CHECK(values == (std::vector<float>{1, 2, 3}));
  communicator.all_to_all(host, alone, view_of(values), counts, view_of(received), counts);
  BOOST_CHECK(received == values);
  communicator.shift(host, alone, view_of(values), view_of(received));
  communicator.reduce_scatter(host, alone, view_of(values), counts, view_of(received));
  BOOST_CHECK(received == values);
}

BOOST_AUTO_TEST_CASE(many_collectives_of_crossing_groups_keep_their_order) {
  const Mesh mesh{{.tensor = 2, .ulysses = 2, .ring = 2}};
  Findings findings;
  run_on_threads(mesh.ranks(), [&](ThreadCommunicator& communicator) {
    for (int round = 0; round < 500; ++round)
      for (const Axis axis : {Axis::tensor, Axis::ulysses, Axis::ring}) {
        const Group group = mesh.group(axis, communicator.rank());
        std::vector<int> values{communicator.rank() + round};
        communicator.all_reduce(host, group, view_of(values));
        findings.require(values[0] == group.rank(0) + group.rank(1) + 2 * round, "round");
      }
  });
  check(findings);
}

BOOST_AUTO_TEST_CASE(openmp_threads_are_shared_and_given_back) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(7);
  std::atomic<int> all = 0;
  run_on_threads(3, [&](ThreadCommunicator&) { all += omp_get_max_threads(); });
  BOOST_CHECK_EQUAL(all, 7);
  all = 0;
  run_on_threads(9, [&](ThreadCommunicator&) { all += omp_get_max_threads(); });
  BOOST_CHECK_EQUAL(all, 9);
  BOOST_CHECK_EQUAL(omp_get_max_threads(), 7);
  omp_set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_takes_the_others_out) {
  std::mt19937 engine(1);
  for (int repeat = 0; repeat < 50; ++repeat) {
    const int ranks = random_int(engine, 2, 8), victim = random_int(engine, 0, ranks - 1),
              at = random_int(engine, 0, 20);
    const Mesh mesh{{.ulysses = ranks}};
    std::atomic<int> lost = 0;
    const Ending ending = ending_of(ranks, [&](ThreadCommunicator& communicator) {
      std::vector<float> values(100, 1.0f);
      try {
        for (int step = 0;; ++step) {
          if (communicator.rank() == victim && step == at) throw Error("no memory");
          communicator.all_reduce(host, mesh.group(Axis::ulysses, communicator.rank()), view_of(values));
        }
      } catch (const RankLost& error) {
        const std::string why = "rank " + std::to_string(victim) + " failed: no memory; rank ";
        lost += std::string(error.what()).starts_with(why + std::to_string(communicator.rank()));
        throw;
      }
    });
    check_message(ending, "no memory");
    BOOST_CHECK_EQUAL(lost, ranks - 1);
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_ends_early_is_not_waited_for) {
  check_message(
      ending_of(3,
                [](ThreadCommunicator& communicator) {
                  std::vector<float> values(1);
                  if (communicator.rank() != 1)
                    communicator.all_reduce(host, Group{0, 1, 3}, view_of(values));
                }),
      "no rank can go on: rank 0 waits in all_reduce of ranks 0, 1, 2; rank 2 waits in all_reduce of "
      "ranks 0, 1, 2; the other 1 ended");
}

BOOST_AUTO_TEST_CASE(ranks_that_wait_for_each_other_in_different_groups_are_named) {
  const Mesh mesh{{.tensor = 2, .ulysses = 2}};
  check_message(ending_of(4,
                          [&](ThreadCommunicator& communicator) {
                            const int rank = communicator.rank();
                            std::vector<float> values(1);
                            // 0 and 3 begin with tensor, 1 and 2 with ulysses.
                            const Axis axis = rank == 0 || rank == 3 ? Axis::tensor : Axis::ulysses;
                            communicator.all_reduce(host, mesh.group(axis, rank), view_of(values));
                          }),
                "rank 0 waits in all_reduce of ranks 0, 1; rank 1 waits in all_reduce of ranks 1, 3; rank 2 "
                "waits in all_reduce of ranks 0, 2; rank 3 waits in all_reduce of ranks 2, 3");
}

BOOST_AUTO_TEST_CASE(ranks_that_disagree_are_named_with_what_each_asked_for) {
  const Group both{0, 1, 2};
  const auto message = [&](auto&& call) {
    return ending_of(2, [&](ThreadCommunicator& communicator) { call(communicator, communicator.rank()); });
  };
  std::vector<std::vector<float>> values(2, std::vector<float>(10));
  check_message(message([&](ThreadCommunicator& c, int rank) {
                  if (rank == 0) return c.all_reduce(host, both, view_of(values[0]));
                  c.broadcast(host, both, view_of(values[1]), 0);
                }),
                "rank 0 calls all_reduce of ranks 0, 1 and rank 1 broadcast");
  check_message(message([&](ThreadCommunicator& c, int rank) {
                  c.all_reduce(host, both, VectorView<float>{values[std::size_t(rank)].data(), 4 + rank});
                }),
                "all_reduce of ranks 0, 1: rank 0 has 4 elements and rank 1 has 5");
  check_message(message([&](ThreadCommunicator& c, int rank) {
                  std::vector<bf16> narrow(10);
                  if (rank == 0) return c.all_reduce(host, both, view_of(values[0]));
                  c.all_reduce(host, both, view_of(narrow));
                }),
                "elements of bytes 4 and rank 1 with 2");
  check_message(message([&](ThreadCommunicator& c, int rank) {
                  c.broadcast(host, both, view_of(values[std::size_t(rank)]), rank);
                }),
                "root 0 and rank 1 with 1");
  check_message(
      message([&](ThreadCommunicator& c, int rank) {
        const std::vector<index_t> counts{3 + rank, 2};
        std::vector<float> all(5 + std::size_t(rank));
        c.all_gather(host, both, {values[0].data(), counts[std::size_t(rank)]}, counts, view_of(all));
      }),
      "rank 0 counts for member 0 3 elements and rank 1 counts 4");
  check_message(message([&](ThreadCommunicator& c, int rank) {
                  const std::vector<index_t> sent{1, 2}, received{1, rank == 0 ? 2 : 1};
                  std::vector<float> receive(std::size_t(sum_of(received)));
                  c.all_to_all(host, both, {values[0].data(), 3}, sent, view_of(receive), received);
                }),
                "all_to_all: this rank's part has 2 elements and its count is 1");
  check_message(message([&](ThreadCommunicator& c, int rank) {
                  const std::vector<index_t> sent{1, 1}, received{rank == 0 ? 1 : 2, 1};
                  std::vector<float> receive(std::size_t(sum_of(received)));
                  c.all_to_all(host, both, {values[0].data(), 2}, sent, view_of(receive), received);
                }),
                "all_to_all of ranks 0, 1: rank 0 sends 1 elements and rank 1 expects 2");
  check_message(message([&](ThreadCommunicator& c, int) {
                  std::vector<float> receive(4);
                  c.shift(host, both, {values[0].data(), 3}, view_of(receive));
                }),
                "shift of ranks 0, 1: rank 0 sends 3 elements and rank 1 receives 4");
}

BOOST_AUTO_TEST_CASE(a_ranks_own_arguments_are_checked_before_it_waits) {
  ThreadMeetings meetings(2);
  ThreadCommunicator communicator(meetings, 0);
  const auto message = [](auto&& call) {
    try {
      call();
    } catch (const RequestError& error) {
      return std::string(error.what());
    }
    return std::string("nothing was refused");
  };
  std::vector<float> values(4);
  const std::vector<index_t> three{1, 2, 1}, two{1, 2};
  BOOST_CHECK_EQUAL(
      message([&] {
        communicator.all_reduce(host, Group{1, 1, 2}, view_of(values));
      }),
      "all_reduce: rank 0 calls it for ranks 1, 2; a rank calls the collectives of its own groups");
  BOOST_CHECK_EQUAL(
      message([&] {
        communicator.all_gather(host, Group{0, 1, 2}, {values.data(), 1}, three, view_of(values));
      }),
      "all_gather: all has 4 elements and its 3 counts add up to 4 for ranks 0, 1; each member "
      "has a count and together they are the view");
  BOOST_CHECK_EQUAL(message([&] {
                      communicator.all_gather(host, Group{0, 1, 2}, {values.data(), 1}, two, view_of(values));
                    }),
                    "all_gather: all has 4 elements and its 2 counts add up to 3 for ranks 0, 1; each member "
                    "has a count and together they are the view");
  BOOST_CHECK_EQUAL(message([&] {
                      communicator.broadcast(host, Group{0, 1, 2}, view_of(values), 2);
                    }),
                    "broadcast: there is no member 2 of ranks 0, 1; members are 0 to 1");
}
