// What may go wrong with NCCL: a rank, a link, the library, the environment.
#define BOOST_TEST_MODULE nccl_faults
#include <atomic>
#include <random>

#include <dlfcn.h>

#include "comm/nccl_ranks.hpp"
#include "support/refused.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

constexpr Topology two_by_two{.tensor = 2, .ulysses = 2};

void exchange_along_both_axes(Rank& rank) {
  rank.exchange_evenly(rank.group(two_by_two, Axis::tensor));
  rank.exchange_evenly(rank.group(two_by_two, Axis::ulysses));
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(nccl_faults, Fresh)

BOOST_AUTO_TEST_CASE(a_rank_that_throws_takes_the_others_out_who_abort_all_communicators_in_one_group) {
  for (const int rank_that_throws : {0, 3}) {
    stand_in().reset();
    const auto outcome = run(4, [&](Rank& rank) {
      exchange_along_both_axes(rank);
      rank.meet_all();
      if (rank.rank() == rank_that_throws) throw Error("the disk is full");
      for (;;) exchange_along_both_axes(rank);
    });
    BOOST_CHECK_EQUAL(outcome.failure, "the disk is full");
    BOOST_CHECK_EQUAL(outcome.communicators_left, 0);
    BOOST_CHECK_LT(outcome.seconds, 5);
    for (int rank = 0; rank < 4; ++rank) {
      check_aborts_in_one_group(outcome.calls[std::size_t(rank)], 2);
      if (rank != rank_that_throws)
        check_says(outcome.told[std::size_t(rank)],
                   "^rank " + std::to_string(rank_that_throws) + " failed: the disk is full; rank .* left ");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_communicator_that_fails_on_one_rank_ends_all_and_is_named_with_nccl_s_words) {
  std::mt19937 engine(std::random_device{}());
  for (int time = 0; time < 20; ++time) {
    const int broken = int(engine() % 4), calls = int(engine() % 40) + 1, polls = int(engine() % 3);
    stand_in().reset();
    stand_in().set_polls(polls);
    const auto outcome = run(4, [&](Rank& rank) {
      if (rank.rank() == broken) stand_in().fail_at(calls);
      for (;;) exchange_along_both_axes(rank);
    });
    const std::string name = std::to_string(broken);
    check_says(
        outcome.failure,
        "^NCCL 2.28.9: ncclAlltoAll of ranks [0-3], [0-3]: remote process exited .*: the cable was pulled$");
    BOOST_CHECK_EQUAL(outcome.told[std::size_t(broken)], outcome.failure);
    for (int rank = 0; rank < 4; ++rank)
      if (rank != broken)
        check_says(outcome.told[std::size_t(rank)], "^rank " + name + " failed: NCCL 2.28.9: ");
    BOOST_CHECK_EQUAL(outcome.communicators_left, 0);
    BOOST_CHECK_LT(outcome.seconds, 5);
  }
}

BOOST_AUTO_TEST_CASE(what_was_given_and_fails_later_is_found_by_asking) {
  const auto outcome = run(2, [](Rank& rank) {
    rank.exchange_evenly({0, 1, 2});
    rank.wire.require_works();
    rank.meet_all();
    if (rank.rank() == 1) {
      stand_in().fail_all();
      rank.wire.require_works();
    }
    std::vector<int> values{1};
    rank.communicator.all_reduce(host, {0, 1, 2}, view_of(values));
  });
  check_says(outcome.failure, "^NCCL 2.28.9: an exchange of ranks 0, 1: .*: the switch was turned off$");
  check_aborts_in_one_group(outcome.calls[0], 1);
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_lost_is_named_before_what_nccl_makes_of_it) {
  ThreadMeetings meetings(2);
  const NcclLibrary library = NcclLibrary::open({STEPVIDEO_NCCL_STAND_IN});
  std::string told;
  std::atomic<bool> is_broken = false;
  BOOST_CHECK_THROW(run_on_threads(meetings,
                                   [&](ThreadCommunicator& end) {
                                     Rank rank(end, library, {});
                                     rank.exchange_evenly({0, 1, 2});
                                     rank.meet_all();
                                     if (rank.rank() == 0) {
                                       meetings.stop(0, "the disk is full");
                                       stand_in().fail_all();
                                       is_broken = true;
                                       throw Error("the disk is full");
                                     }
                                     while (!is_broken) std::this_thread::yield();
                                     try {
                                       rank.wire.require_works();
                                     } catch (const RankLost& lost) {
                                       told = lost.what();
                                     }
                                   }),
                    Error);
  check_says(told, "^rank 0 failed: the disk is full; rank 1 left ");
}

BOOST_AUTO_TEST_CASE(what_does_not_come_in_time_is_named) {
  stand_in().set_polls(1'000'000'000);
  const auto outcome = run(2, [](Rank& rank) { rank.exchange_evenly({0, 1, 2}); }, {.deadline = 0.2s});
  check_says(outcome.failure,
             "^NCCL 2.28.9: ncclCommInitRankConfig of ranks 0, 1 has not ended on rank [01] within 0.2 s, "
             "although ");
  BOOST_CHECK_LT(outcome.seconds, 5);
  BOOST_CHECK_EQUAL(outcome.communicators_left, 0);
}

BOOST_AUTO_TEST_CASE(a_rank_that_never_comes_keeps_nobody_in_a_communicator_that_is_being_made) {
  const auto outcome = run(3, [](Rank& rank) {
    if (rank.rank() == 2) {
      std::this_thread::sleep_for(50ms);
      throw Error("no GPU is left");
    }
    rank.exchange_evenly({0, 1, 3});
  });
  for (const int rank : {0, 1})
    check_says(outcome.told[std::size_t(rank)], "^rank 2 failed: no GPU is left; ");
  BOOST_CHECK_EQUAL(outcome.communicators_left, 0);
}

BOOST_AUTO_TEST_CASE(ranks_leave_a_communicator_that_is_being_made_when_somebody_gives_up) {
  stand_in().set_polls(1'000'000'000);
  const NcclLibrary library = NcclLibrary::open({STEPVIDEO_NCCL_STAND_IN});
  ThreadMeetings meetings(3);
  const std::jthread watchdog([&] {
    while (stand_in().communicators() < 3) std::this_thread::yield();
    meetings.stop("rank 2 is late");
  });
  const auto work = [&](ThreadCommunicator& end) { Rank(end, library, {}).exchange_evenly({0, 1, 3}); };
  BOOST_CHECK_EXCEPTION(run_on_threads(meetings, work), RankLost, [](const RankLost& lost) {
    return std::string(lost.what()).starts_with("rank 2 is late; rank ");
  });
  BOOST_CHECK_EQUAL(stand_in().communicators(), 0);
}

BOOST_AUTO_TEST_CASE(a_wire_that_was_aborted_refuses_and_has_nothing_left) {
  const auto outcome = run(2, [](Rank& rank) {
    rank.exchange_evenly({0, 1, 2});
    rank.wire.abort();
    rank.wire.abort();
    const std::string sentence = "NCCL 2.28.9 was given up on rank " + std::to_string(rank.rank());
    for (const bool is_end : {false, true}) {
      try {
        is_end ? rank.wire.finish() : rank.exchange_evenly({0, 1, 2});
        throw RequestError("it did not refuse");
      } catch (const Error& error) {
        if (!std::string(error.what()).starts_with(sentence)) throw;
      }
    }
  });
  BOOST_CHECK_EQUAL(outcome.failure, "");
  for (const Lines& calls : outcome.calls) check_aborts_in_one_group(calls, 1);
}

BOOST_AUTO_TEST_CASE(ranks_with_other_options_are_named_before_a_communicator_is_made) {
  const NcclLibrary library = NcclLibrary::open({STEPVIDEO_NCCL_STAND_IN});
  std::vector<std::string> told(3);
  BOOST_CHECK_THROW(run_on_threads(3,
                                   [&](ThreadCommunicator& end) {
                                     Rank rank(end, library, {.ctas = end.rank() == 2 ? 4 : 0});
                                     try {
                                       rank.exchange_evenly({0, 1, 3});
                                     } catch (const RequestError& error) {
                                       told[std::size_t(end.rank())] = error.what();
                                       throw;
                                     }
                                   }),
                    RequestError);
  for (const std::string& sentence : told)
    check_says(sentence, "^rank 0 has ctas=0 and rank 2 has ctas=4; give all ranks the same");
  BOOST_CHECK_EQUAL(stand_in().communicators(), 0);
}

BOOST_AUTO_TEST_CASE(ranks_with_other_libraries_are_named) {
  stand_in(STEPVIDEO_NCCL_STAND_IN_OLD).reset();
  stand_in(STEPVIDEO_NCCL_STAND_IN_OLD).set_version(NCCL_VERSION(2, 27, 3));
  std::string said;
  try {
    run_on_threads(2, [&](ThreadCommunicator& end) {
      const NcclLibrary library =
          NcclLibrary::open({end.rank() == 0 ? STEPVIDEO_NCCL_STAND_IN : STEPVIDEO_NCCL_STAND_IN_OLD});
      Rank rank(end, library, {});
      rank.exchange_evenly({0, 1, 2});
    });
  } catch (const RequestError& error) {
    said = error.what();
  }
  check_says(said, "^rank 0 has NCCL 2.28.9 and rank 1 has NCCL 2.27.3; ");
}

BOOST_AUTO_TEST_CASE(a_library_that_cannot_serve_is_refused_in_one_sentence) {
  const auto refusal = [](const char* path) {
    try {
      NcclLibrary::open({path});
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  check_says(refusal("/no/libnccl.so.2"),
             "^NCCL was not found \\(/no/libnccl.so.2: .*\\); NCCL 2.22 or later .* works$");
  stand_in().set_version(NCCL_VERSION(2, 21, 5));
  check_says(refusal(STEPVIDEO_NCCL_STAND_IN), "is NCCL 2.21.5, which cannot .*; NCCL 2.22 or later works$");
  stand_in().set_version(NCCL_VERSION(2, 7, 8));
  check_says(refusal(STEPVIDEO_NCCL_STAND_IN), "is NCCL 2.7.8, which cannot ");
  check_says(refusal(STEPVIDEO_NCCL_STAND_IN_BROKEN), " is NCCL 2.28.9 and lacks ncclCommFinalize; ");
  stand_in().set_version(NCCL_VERSION(2, 22, 0));
  BOOST_CHECK_EQUAL(refusal(STEPVIDEO_NCCL_STAND_IN), "");
}

BOOST_AUTO_TEST_CASE(a_program_that_is_linked_with_nccl_uses_that) {
  BOOST_REQUIRE(dlopen(STEPVIDEO_NCCL_STAND_IN, RTLD_NOW | RTLD_GLOBAL) != nullptr);
  const NcclLibrary library = NcclLibrary::open();
  BOOST_CHECK_EQUAL(library.path(), "");
  BOOST_CHECK_EQUAL(library.name(), "NCCL 2.28.9");
  BOOST_CHECK_NE(NcclLibrary::open({STEPVIDEO_NCCL_STAND_IN}).path(), "");
}

BOOST_AUTO_TEST_CASE(the_port_of_ras_stays_closed_unless_somebody_asks_for_it) {
  const NcclChoice choice{STEPVIDEO_NCCL_STAND_IN};
  NcclLibrary::open(choice);
  BOOST_CHECK_EQUAL(std::getenv("NCCL_RAS_ENABLE"), "0");
  setenv("NCCL_RAS_ENABLE", "1", 1);
  NcclLibrary::open(choice);
  BOOST_CHECK_EQUAL(std::getenv("NCCL_RAS_ENABLE"), "1");
}

BOOST_AUTO_TEST_CASE(multicast_and_buffers_are_the_environment_s_unless_buffers_are_asked_for) {
  NcclChoice choice{STEPVIDEO_NCCL_STAND_IN};
  NcclLibrary::open(choice);
  BOOST_CHECK(std::getenv("NCCL_BUFFSIZE") == nullptr && std::getenv("NCCL_NVLS_ENABLE") == nullptr);
  setenv("NCCL_NVLS_ENABLE", "0", 1);
  setenv("NCCL_BUFFSIZE", "8388608", 1);
  NcclLibrary::open(choice);
  BOOST_CHECK_EQUAL(std::getenv("NCCL_BUFFSIZE"), "8388608");
  choice.buffer_bytes = 1 << 20;
  NcclLibrary::open(choice);
  BOOST_CHECK_EQUAL(std::getenv("NCCL_BUFFSIZE"), "1048576");
  BOOST_CHECK_EQUAL(std::getenv("NCCL_NVLS_ENABLE"), "0");
}

BOOST_AUTO_TEST_CASE(nccl_listens_at_the_interface_of_the_job_s_address_unless_the_environment_names_one) {
  NcclChoice choice{STEPVIDEO_NCCL_STAND_IN};
  NcclLibrary::open(choice);
  BOOST_CHECK(std::getenv("NCCL_SOCKET_IFNAME") == nullptr);
  choice.address = "127.0.0.1";
  NcclLibrary::open(choice);
  BOOST_CHECK_EQUAL(std::getenv("NCCL_SOCKET_IFNAME"), "=lo");
  setenv("NCCL_SOCKET_IFNAME", "ib0", 1);
  NcclLibrary::open(choice);
  BOOST_CHECK_EQUAL(std::getenv("NCCL_SOCKET_IFNAME"), "ib0");
  choice.address = "203.0.113.7";
  check_refused([&] { NcclLibrary::open(choice); }, "has the address 203.0.113.7; ");
}

BOOST_AUTO_TEST_CASE(options_that_cannot_work_are_refused) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{100'000}, std::size_t{1} << 40})
    check_refused(
        [&] { NcclLibrary::open({.path = STEPVIDEO_NCCL_STAND_IN, .buffer_bytes = bytes, .address = {}}); },
        (std::to_string(bytes) + " bytes; a power of two").c_str());
  setenv("NCCL_COMM_BLOCKING", "1", 1);
  check_refused([] { NcclLibrary::open({STEPVIDEO_NCCL_STAND_IN}); }, "NCCL_COMM_BLOCKING=1 ");
  unsetenv("NCCL_COMM_BLOCKING");
  for (const int ctas : {-1, 65})
    check_says(run(1, [](Rank&) {}, {.ctas = ctas}).failure,
               "NCCL cannot have " + std::to_string(ctas) + " thread blocks");
}

BOOST_AUTO_TEST_SUITE_END()
