// Ranks that give signs of life and ranks that do not; all of them threads of one process.
#define BOOST_TEST_MODULE heartbeat
#include <csignal>
#include <optional>

#include <sys/wait.h>

#include <stepvideo/comm/heartbeat.hpp>

#include "comm/local_wires.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
using namespace std::chrono_literals;

namespace {

constexpr int ranks = 3;
constexpr Heartbeat::Seconds limit(0.6);

/// Ranks of which each may have a heartbeat or none, as a stopped process has none.
struct Ranks {
  std::vector<std::unique_ptr<SocketWire>> wires = wires_between(ranks);
  std::vector<std::optional<Heartbeat>> beats = std::vector<std::optional<Heartbeat>>(ranks);

  /// The wires end at the same time, as each waits for the others.
  ~Ranks() {
    beats.clear();
    std::vector<std::jthread> ends;
    for (auto& wire : wires) ends.emplace_back([&] { wire.reset(); });
  }

  void start(int rank, Heartbeat::Calls calls = {}) {
    beats[std::size_t(rank)].emplace(*wires[std::size_t(rank)], limit, std::move(calls));
  }
  std::vector<Losses::Loss> losses(int rank) { return wires[std::size_t(rank)]->losses().all(); }
  /// The only loss that a rank knows of.
  Losses::Loss loss(int rank) {
    const auto all = losses(rank);
    BOOST_REQUIRE_EQUAL(all.size(), 1u);
    return all[0];
  }
};

template <class IsDone>
bool comes_true(IsDone&& is_done, std::chrono::milliseconds within = 5s) {
  for (const auto begin = Heartbeat::Clock::now(); Heartbeat::Clock::now() - begin < within;) {
    if (is_done()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_that_falls_silent_is_known_as_stopped_to_all_others) {
  Ranks all;
  for (int rank = 0; rank < ranks; ++rank) all.start(rank);
  std::this_thread::sleep_for(300ms);
  // As a stop does, it takes its thread away, and not its connections; the last word was none of leaving.
  Ranks other;
  other.start(0), other.start(1);
  Beat sign;
  BOOST_CHECK(other.wires[2]->send_beat(0, sign));
  BOOST_CHECK(comes_true([&] { return other.losses(0).size() == 1 && other.losses(1).size() == 1; }));
  for (const int rank : {0, 1}) {
    BOOST_CHECK_EQUAL(other.loss(rank).rank, 2);
    BOOST_CHECK(other.loss(rank).is_stopped);
    BOOST_CHECK_MESSAGE(other.loss(rank).why.starts_with("is stopped: it has given no sign of life for 0."),
                        other.loss(rank).why);
    BOOST_CHECK(other.wires[std::size_t(rank)]->is_gone(2));
    BOOST_CHECK_EQUAL(other.beats[std::size_t(rank)]->is_speaker(), rank == 0);
  }
  for (int rank = 0; rank < ranks; ++rank) BOOST_CHECK(all.losses(rank).empty());
}

BOOST_AUTO_TEST_CASE(all_others_find_a_silent_rank_0) {
  Ranks all;
  all.start(1), all.start(2);
  for (const int rank : {1, 2}) BOOST_CHECK(all.wires[0]->send_beat(rank, {}));
  BOOST_CHECK(comes_true([&] { return all.losses(1).size() == 1 && all.losses(2).size() == 1; }));
  for (const int rank : {1, 2}) {
    BOOST_CHECK_EQUAL(all.loss(rank).rank, 0);
    BOOST_CHECK(all.loss(rank).is_stopped);
  }
  for (const int rank : {1, 2}) BOOST_CHECK(all.beats[std::size_t(rank)]->is_speaker());
}

BOOST_AUTO_TEST_CASE(a_rank_that_has_not_come_yet_has_longer) {
  Ranks all;
  all.start(0), all.start(1);
  std::this_thread::sleep_for(2 * limit);
  BOOST_CHECK(all.losses(0).empty());
}

BOOST_AUTO_TEST_CASE(a_process_that_ends_is_gone_and_one_that_leaves_is_not) {
  Ranks all;
  for (int rank = 0; rank < ranks; ++rank) all.start(rank);
  std::this_thread::sleep_for(200ms);
  all.beats[1].reset();  // says that it leaves
  all.wires[1].reset();
  std::this_thread::sleep_for(2 * limit);
  BOOST_CHECK(all.losses(0).empty());
  BOOST_CHECK(!all.beats[0]->have_others_left());
  BOOST_CHECK(all.beats[0]->have_others_left(2));

  Ranks other;
  other.start(0), other.start(1);
  other.wires[2].reset();
  BOOST_CHECK(comes_true([&] { return other.losses(1).size() == 1; }, 500ms));
  BOOST_CHECK(!other.loss(1).is_stopped);
  BOOST_CHECK_EQUAL(other.loss(1).why, "is gone: its process ended without a word");
}

BOOST_AUTO_TEST_CASE(a_limit_of_0_is_for_ever) {
  Ranks all;
  all.start(0), all.start(1);
  all.beats[0]->set_longest_silence(Heartbeat::Seconds(0));
  BOOST_CHECK(all.wires[2]->send_beat(0, {}));
  std::this_thread::sleep_for(2 * limit);
  BOOST_CHECK(all.losses(0).empty());
}

BOOST_AUTO_TEST_CASE(who_does_not_deal_with_a_loss_is_told_but_not_while_others_do) {
  std::atomic<int> told = 0;
  Ranks all;
  for (const int rank : {0, 1}) all.start(rank, {.on_neglect = [&] { ++told; }});
  all.beats[0]->set_tolerant(true);
  all.wires[2].reset();
  BOOST_CHECK(comes_true([&] { return told == 1; }));
  std::this_thread::sleep_for(1s);
  BOOST_CHECK_EQUAL(told, 1);
  BOOST_CHECK(!all.beats[0]->loss());
  all.beats[0]->set_tolerant(false);
  BOOST_CHECK(comes_true([&] { return told == 2; }));
}

BOOST_AUTO_TEST_CASE(nobody_goes_on_without_rank_0) {
  std::atomic<bool> is_told = false;
  Ranks all;
  all.start(1, {.on_neglect = [&] { is_told = true; }});
  all.beats[1]->set_tolerant(true);
  all.wires[0].reset();
  BOOST_CHECK(comes_true([&] { return is_told.load(); }));
}

BOOST_AUTO_TEST_CASE(a_signal_to_any_rank_is_known_to_rank_0) {
  std::atomic<bool> has_signal = false, is_known = false;
  Ranks all;
  all.start(0, {.on_signal = [&] { is_known = true; }});
  all.start(2, {.has_signal = [&] { return has_signal.load(); }});
  std::this_thread::sleep_for(300ms);
  BOOST_CHECK(!is_known);
  has_signal = true;
  BOOST_CHECK(comes_true([&] { return is_known.load(); }, 1s));
}

BOOST_AUTO_TEST_CASE(a_suspended_terminal_raises_no_alarm) {
  const pid_t child = fork();
  BOOST_REQUIRE_GE(child, 0);
  if (child == 0) {
    Ranks all;
    for (int rank = 0; rank < ranks; ++rank) all.start(rank);
    std::this_thread::sleep_for(500ms);
    kill(getpid(), SIGSTOP);
    std::this_thread::sleep_for(1s);
    bool is_quiet = true;
    for (int rank = 0; rank < ranks; ++rank) is_quiet = is_quiet && all.losses(rank).empty();
    std::_Exit(is_quiet ? 0 : 1);
  }
  int status = 0;
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, WUNTRACED), child);
  BOOST_REQUIRE(WIFSTOPPED(status));
  std::this_thread::sleep_for(3 * limit);
  kill(child, SIGCONT);
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
  BOOST_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
