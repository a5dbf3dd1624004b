// What travels over NCCL's wire, how NCCL is called for it, and how it ends where nothing goes wrong.
#define BOOST_TEST_MODULE nccl_wire
#include <atomic>
#include <filesystem>
#include <iterator>

#include "comm/nccl_ranks.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

/// Threads and open files of this process.
std::ptrdiff_t count_in(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

Lines in_order(Lines lines, std::ptrdiff_t first, std::ptrdiff_t last) {
  std::sort(lines.begin() + first, lines.begin() + last);
  return lines;
}

constexpr Topology two_by_two{.tensor = 2, .ulysses = 2};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(nccl_wire, Fresh)

BOOST_AUTO_TEST_CASE(collectives_over_groups_of_every_axis_give_what_they_are_to_give) {
  for (const Topology& gpus :
       {Topology{}, Topology{.guidance = 2}, Topology{.ulysses = 3}, Topology{.guidance = 2, .ulysses = 2},
        Topology{.ulysses = 5}, Topology{.tensor = 2, .ulysses = 3}, Topology{.ring = 7},
        Topology{.tensor = 2, .ulysses = 2, .ring = 2}})
    for (const int polls : {0, 3}) {
      stand_in().reset();
      stand_in().set_polls(polls);
      Findings findings;
      check_orderly(run(int(gpus.ranks()), [&](Rank& rank) {
        for (const Axis axis : every_axis) {
          const Group group = rank.group(gpus, axis);
          find_wrong_sums<float>(rank.communicator, group, findings);
          find_wrong_sums<bf16>(rank.communicator, group, findings);
          find_lost_elements<float>(rank.communicator, group, findings);
          find_lost_elements<bf16>(rank.communicator, group, findings);
          rank.exchange_evenly(group);
        }
        rank.wire.finish();
      }));
      BOOST_TEST(findings.found() == Lines{}, boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(equal_parts_go_by_the_library_s_all_to_all_and_others_in_one_group) {
  const auto outcome = run(3, [](Rank& rank) {
    const Group all{0, 1, 3};
    rank.exchange_evenly(all);
    // To member 0 as many elements as the sender's rank says, one to member 1, none to member 2.
    const std::vector<index_t> sent{rank.rank(), 1, 0}, received_by[] = {{0, 1, 2}, {1, 1, 1}, {0, 0, 0}};
    const auto& received = received_by[rank.rank()];
    std::vector<int> send(std::size_t(sum_of(sent)), rank.rank()), receive(std::size_t(sum_of(received)));
    rank.communicator.all_to_all(host, all, view_of(send), sent, view_of(receive), received);
    rank.wire.finish();
  });
  check_orderly(outcome);
  const Lines rank_0{"ncclAlltoAll: 12",   "ncclGroupStart", "ncclSend to 1: 4", "ncclRecv from 1: 4",
                     "ncclRecv from 2: 8", "ncclGroupEnd",   "ncclCommFinalize", "ncclCommDestroy"},
      rank_2{"ncclAlltoAll: 12", "ncclGroupStart",   "ncclSend to 0: 8", "ncclSend to 1: 4",
             "ncclGroupEnd",     "ncclCommFinalize", "ncclCommDestroy"};
  BOOST_TEST(in_order(without_making(outcome.calls[0]), 2, 5) == in_order(rank_0, 2, 5),
             boost::test_tools::per_element());
  BOOST_TEST(in_order(without_making(outcome.calls[2]), 2, 4) == in_order(rank_2, 2, 4),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_library_without_all_to_all_sends_equal_parts_in_one_group) {
  NcclStandIn& old = stand_in(STEPVIDEO_NCCL_STAND_IN_OLD);
  old.reset();
  old.set_version(NCCL_VERSION(2, 27, 3));
  std::vector<int> received;
  const auto outcome = run(2,
                           [&](Rank& rank) {
                             BOOST_REQUIRE_EQUAL(rank.wire.name(), "NCCL 2.27.3");
                             const int send[] = {rank.rank() * 10, rank.rank() * 10 + 1};
                             int receive[2] = {};
                             const SentRun to[] = {{send, 4}, {send + 1, 4}};
                             const ReceivedRun from[] = {{receive, 4}, {receive + 1, 4}};
                             const Device device{stream_of(rank.rank())};
                             rank.wire.exchange(device, {0, 1, 2}, to, from, true);
                             while (!stand_in(STEPVIDEO_NCCL_STAND_IN_OLD).is_done(device.stream))
                               rank.words.require_all_well();
                             if (rank.rank() == 1) received.assign(receive, receive + 2);
                             rank.wire.finish();
                           },
                           {}, {STEPVIDEO_NCCL_STAND_IN_OLD});
  BOOST_CHECK_EQUAL(outcome.failure, "");
  BOOST_TEST(received == (std::vector{1, 11}), boost::test_tools::per_element());
  BOOST_TEST(old.misuse() == Lines{}, boost::test_tools::per_element());
  const Lines expected{"ncclGroupStart",     "ncclSend to 0: 4", "ncclSend to 1: 4", "ncclRecv from 0: 4",
                       "ncclRecv from 1: 4", "ncclGroupEnd",     "ncclCommFinalize", "ncclCommDestroy"};
  BOOST_TEST(in_order(without_making(outcome.calls[1]), 1, 5) == in_order(expected, 1, 5),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(empty_runs_need_no_communicator) {
  const auto outcome = run(2, [](Rank& rank) {
    const std::vector<index_t> none{0, 0};
    std::vector<float> nothing;
    rank.communicator.all_to_all(host, {0, 1, 2}, view_of(nothing), none, view_of(nothing), none);
    rank.wire.finish();
  });
  check_orderly(outcome);
  BOOST_CHECK(outcome.calls[0].empty());
}

BOOST_AUTO_TEST_CASE(a_group_of_one_rank_is_a_communicator_too) {
  int received = 0;
  check_orderly(run(1, [&](Rank& rank) {
    const int seven = 7;
    const SentRun to{&seven, 4};
    const ReceivedRun from{&received, 4};
    rank.wire.exchange({stream_of(0)}, {0, 1, 1}, {&to, 1}, {&from, 1}, true);
    rank.wire.finish();
  }));
  BOOST_CHECK_EQUAL(received, 7);
}

BOOST_AUTO_TEST_CASE(communicators_are_made_once_for_each_group_when_it_exchanges_or_all_before) {
  for (const bool are_connected : {false, true}) {
    stand_in().reset();
    stand_in().set_polls(2);
    const auto outcome = run(4, [&](Rank& rank) {
      const Group groups[] = {rank.group(two_by_two, Axis::tensor), rank.group(two_by_two, Axis::ring),
                              rank.group(two_by_two, Axis::ulysses)};
      if (are_connected) rank.wire.connect(groups);
      for (int time = 0; time < 2; ++time)
        for (const Group& group : {groups[0], groups[2]}) rank.exchange_evenly(group);
      rank.wire.finish();
    });
    check_orderly(outcome);
    const std::string config = " of 2: blocking 0, ctas any to any";
    const Lines connected{"ncclCommInitRankConfig 1" + config, "ncclGetUniqueId",
                          "ncclCommInitRankConfig 0" + config},
        rank_1 = are_connected
                     ? Lines{connected[0],       connected[1],       connected[2],      "ncclAlltoAll: 12",
                             "ncclAlltoAll: 12", "ncclAlltoAll: 12", "ncclAlltoAll: 12"}
                     : Lines{connected[0],       "ncclAlltoAll: 12", connected[1],      connected[2],
                             "ncclAlltoAll: 12", "ncclAlltoAll: 12", "ncclAlltoAll: 12"};
    BOOST_TEST(Lines(outcome.calls[1].begin(), outcome.calls[1].end() - 4) == rank_1,
               boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(all_communicators_are_finalized_before_any_is_destroyed_and_none_is_aborted) {
  stand_in().set_polls(4);
  const auto outcome = run(4, [](Rank& rank) {
    for (const Axis axis : {Axis::tensor, Axis::ulysses, Axis::world})
      rank.exchange_evenly(rank.group(two_by_two, axis));
    rank.wire.finish();
    rank.wire.abort();  // as a wire's end does
  });
  check_orderly(outcome);
  const Lines expected{"ncclCommFinalize", "ncclCommFinalize", "ncclCommFinalize",
                       "ncclCommDestroy",  "ncclCommDestroy",  "ncclCommDestroy"};
  for (const Lines& calls : outcome.calls)
    BOOST_TEST(Lines(calls.end() - 6, calls.end()) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(behind_an_end_a_group_has_a_new_communicator) {
  const auto outcome = run(2, [](Rank& rank) {
    for (int time = 0; time < 2; ++time) {
      rank.exchange_evenly({0, 1, 2});
      rank.wire.finish();
    }
  });
  check_orderly(outcome);
  const Lines once{"ncclAlltoAll: 12", "ncclCommFinalize", "ncclCommDestroy"};
  Lines twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  BOOST_TEST(without_making(outcome.calls[0]) == twice, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_end_waits_until_all_ranks_are_there) {
  std::atomic<bool> is_late_one_there = false, was_it_there = true;
  check_orderly(run(3, [&](Rank& rank) {
    // The late one is of no group with the others.
    if (rank.rank() < 2) rank.exchange_evenly({0, 1, 2});
    if (rank.rank() == 2) {
      std::this_thread::sleep_for(100ms);
      is_late_one_there = true;
    }
    rank.wire.finish();
    if (!is_late_one_there) was_it_there = false;
  }));
  BOOST_CHECK(was_it_there);
}

BOOST_AUTO_TEST_CASE(thread_blocks_that_are_asked_for_are_all_that_its_kernels_have) {
  const auto outcome = run(2,
                           [](Rank& rank) {
                             rank.exchange_evenly({0, 1, 2});
                             rank.wire.finish();
                           },
                           {.ctas = 8});
  check_orderly(outcome);
  BOOST_CHECK_EQUAL(
      std::ranges::count(outcome.calls[1], "ncclCommInitRankConfig 1 of 2: blocking 0, ctas 8 to 8"), 1);
}

BOOST_AUTO_TEST_CASE(starts_and_stops_leave_no_communicator_no_thread_and_no_file_open) {
  const auto start_and_stop = [] {
    check_orderly(run(4, [](Rank& rank) {
      for (const Axis axis : {Axis::tensor, Axis::world}) rank.exchange_evenly(rank.group(two_by_two, axis));
      rank.wire.finish();
    }));
  };
  start_and_stop();
  const auto threads = count_in("/proc/self/task"), files = count_in("/proc/self/fd");
  for (int i = 0; i < 50; ++i) start_and_stop();
  BOOST_CHECK_EQUAL(count_in("/proc/self/task"), threads);
  BOOST_CHECK_EQUAL(count_in("/proc/self/fd"), files);
}

BOOST_AUTO_TEST_SUITE_END()
