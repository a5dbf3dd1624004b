// What may happen to one of several ranks that are threads, at any step.
#define BOOST_TEST_MODULE thread_faults
#include <filesystem>
#include <future>
#include <mutex>
#include <new>
#include <random>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/comm/watchdog.hpp>

#include "comm/communicator_cases.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
using namespace std::chrono_literals;

namespace {

struct Fault {
  enum Kind { throws, is_out_of_memory, stalls, disagrees } kind = throws;
  int ranks = 2, rank = 0, step = 1;
};

/// What one of the ranks does before it adds up with the others.
void strike(Fault::Kind kind, std::vector<float>& values) {
  switch (kind) {
    case Fault::throws:
      throw Error("the disk is full");
    case Fault::is_out_of_memory:
      throw std::bad_alloc();
    case Fault::stalls:
      return std::this_thread::sleep_for(1500ms);
    case Fault::disagrees:
      values.push_back(1);
  }
}

struct Outcome {
  std::string failure, late;
  std::vector<std::string> others;  ///< what they were told
  double seconds = 0;
  int last_step = 0;  ///< that some rank ended
};

/// The ranks add up step after step, until the fault comes.
Outcome run(const Fault& fault) {
  ThreadMeetings meetings(fault.ranks);
  std::vector<FlightRecorder> recorders(std::size_t(fault.ranks));
  std::vector<const FlightRecorder*> watched;
  for (const FlightRecorder& recorder : recorders) watched.push_back(&recorder);
  Outcome outcome;
  std::optional<Watchdog> watchdog;
  watchdog.emplace(watched, [&](const LateRank& late) {
    outcome.late = late.message;
    meetings.stop(late.message);
  });
  std::chrono::steady_clock::time_point begin;
  std::mutex mutex;
  try {
    run_on_threads(meetings, [&](ThreadCommunicator& communicator) {
      FlightRecorder& recorder = recorders[std::size_t(communicator.rank())];
      const auto deadline = [](std::string_view, const Group&, std::size_t) {
        return FlightClock::duration(500ms);
      };
      Recorded recorded(communicator, recorder, deadline);
      for (int step = 1;; ++step) {
        recorder.set_place(step, -1);
        std::vector<float> values(100, 1);
        if (communicator.rank() == fault.rank && step == fault.step) {
          begin = std::chrono::steady_clock::now();
          strike(fault.kind, values);
        }
        try {
          recorded.all_reduce(host, {0, 1, fault.ranks}, view_of(values));
        } catch (const RankLost& lost) {
          const std::lock_guard lock(mutex);
          outcome.others.emplace_back(lost.what());
          throw;
        }
      }
    });
  } catch (const std::exception& failure) {
    outcome.failure = failure.what();
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  watchdog.reset();
  for (const FlightRecorder* const recorder : watched)
    for (const Flight& flight : recorder->flights())
      if (flight.ended) outcome.last_step = std::max(outcome.last_step, flight.step);
  return outcome;
}

/// What the failure must say.
std::vector<std::string> phrases(const Fault& fault) {
  const std::string rank = "rank " + std::to_string(fault.rank);
  switch (fault.kind) {
    case Fault::throws:
      return {"the disk is full"};
    case Fault::is_out_of_memory:
      return {"bad_alloc"};
    case Fault::stalls:
      return {rank + " is late: all_reduce of ranks 0, 1", "in step " + std::to_string(fault.step)};
    case Fault::disagrees:
      return {"all_reduce of ranks 0, 1", rank + " has 101", " has 100"};
  }
  return {};
}

std::ptrdiff_t count_in(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

}  // namespace

BOOST_AUTO_TEST_CASE(
    a_rank_that_throws_stalls_disagrees_or_is_out_of_memory_at_any_step_takes_the_others_out) {
  std::mt19937 engine(std::random_device{}());
  const auto number = [&](int least, int most) { return std::uniform_int_distribution(least, most)(engine); };
  double slowest = 0;
  for (int at_a_time = 10, done = 0; done < 50; done += at_a_time) {
    std::vector<std::pair<Fault, std::future<Outcome>>> runs;
    for (int i = 0; i < at_a_time; ++i) {
      const int ranks = number(2, 5);
      const Fault fault{Fault::Kind((done + i) % 4), ranks, number(0, ranks - 1), number(1, 300)};
      runs.emplace_back(fault, std::async(std::launch::async, run, fault));
    }
    for (auto& [fault, future] : runs) {
      const Outcome outcome = future.get();
      const std::string& said = fault.kind == Fault::stalls ? outcome.late : outcome.failure;
      for (const std::string& phrase : phrases(fault))
        BOOST_CHECK_MESSAGE(said.find(phrase) != said.npos, "'" << said << "' lacks: " << phrase);
      if (fault.kind == Fault::throws || fault.kind == Fault::is_out_of_memory) {
        BOOST_CHECK_EQUAL(std::ssize(outcome.others), fault.ranks - 1);
        for (const std::string& other : outcome.others)
          BOOST_CHECK_MESSAGE(other.starts_with("rank " + std::to_string(fault.rank) + " failed: "), other);
      }
      BOOST_CHECK_LT(outcome.last_step, fault.step);  // nobody went on alone
      BOOST_CHECK_LT(outcome.seconds, 10);
      slowest = std::max(slowest, outcome.seconds);
    }
  }
  BOOST_TEST_MESSAGE("50 faults: all were out within " << slowest << " s");
}

BOOST_AUTO_TEST_CASE(starts_and_stops_leave_no_thread_and_no_file_open) {
  const auto start_and_stop = [] {
    run_on_threads(4, [](ThreadCommunicator& communicator) {
      std::vector<int> values{1};
      communicator.all_reduce(host, {0, 1, 4}, view_of(values));
    });
  };
  start_and_stop();
  const auto threads = count_in("/proc/self/task"), files = count_in("/proc/self/fd");
  for (int i = 0; i < 50; ++i) start_and_stop();
  BOOST_CHECK_EQUAL(count_in("/proc/self/task"), threads);
  BOOST_CHECK_EQUAL(count_in("/proc/self/fd"), files);
}
