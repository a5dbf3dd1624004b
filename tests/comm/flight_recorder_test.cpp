#define BOOST_TEST_MODULE flight_recorder
#include <atomic>
#include <deque>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/comm/watchdog.hpp>

using namespace stepvideo;
using namespace std::chrono_literals;
using RecordedThreads = Recorded<ThreadCommunicator>;
static_assert(Communicator<RecordedThreads>);
static_assert(Communicator<Recorded<RecordedThreads>>);

namespace {

std::deque<FlightRecorder> recorders_for(int ranks, std::size_t capacity = 64) {
  std::deque<FlightRecorder> recorders;
  for (int rank = 0; rank < ranks; ++rank) recorders.emplace_back(capacity);
  return recorders;
}

std::vector<std::vector<Flight>> flights_of(const std::deque<FlightRecorder>& recorders) {
  std::vector<std::vector<Flight>> flights;
  for (const auto& recorder : recorders) flights.push_back(recorder.flights());
  return flights;
}

void check_contains(const std::string& text, const std::string& phrase) {
  BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

/// An execution whose work is queued: it comes to one mark after another.
class Gpu {
 public:
  void queue(FlightRecorder& recorder, const Group& group) {
    const long long number = recorder.enqueue("all_to_all", group, 0, 1s, mark());
    recorder.end_at(number, mark());
  }
  void advance(int marks) { *reached_ += marks; }

 private:
  struct Mark final : FlightMark {
    Mark(std::shared_ptr<int> all, int own) : reached_marks(std::move(all)), place(own) {}
    std::optional<FlightClock::time_point> reached() override {
      if (*reached_marks <= place) return {};
      return FlightClock::now();
    }
    std::shared_ptr<int> reached_marks;
    int place;
  };

  std::unique_ptr<FlightMark> mark() { return std::make_unique<Mark>(reached_, marks_++); }

  std::shared_ptr<int> reached_ = std::make_shared<int>(0);
  int marks_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_collective_is_recorded_with_its_place_group_bytes_and_times) {
  auto recorders = recorders_for(2);
  const Group world{0, 1, 2};
  run_on_threads(2, [&](ThreadCommunicator& threads) {
    RecordedThreads communicator(threads, recorders[std::size_t(threads.rank())]);
    std::vector<float> values(6), more(6);
    std::vector<bf16> narrow(4);
    const std::vector<index_t> counts{3, 3};
    const VectorView<float> all{values.data(), 6}, part{more.data(), 3};
    communicator.all_reduce(host, world, all);
    communicator.recorder().set_place(7, 3);
    communicator.all_gather(host, world, part, counts, all);
    communicator.reduce_scatter(host, world, all, counts, part);
    communicator.all_to_all(host, world, all, counts, VectorView<float>{more.data(), 6}, counts);
    communicator.shift(host, world, part, VectorView<float>{values.data(), 3});
    communicator.broadcast(host, world, VectorView<bf16>{narrow.data(), 4}, 1);
    communicator.all_reduce(host, Group{threads.rank(), 1, 1}, all);
  });
  const std::vector<std::pair<std::string, std::size_t>> expected{{"all_reduce", 24},     {"all_gather", 12},
                                                                  {"reduce_scatter", 24}, {"all_to_all", 24},
                                                                  {"shift", 12},          {"broadcast", 8}};
  for (const auto& recorder : recorders) {
    const auto flights = recorder.flights();
    BOOST_REQUIRE_EQUAL(flights.size(), expected.size());
    for (std::size_t i = 0; i < flights.size(); ++i) {
      BOOST_CHECK_EQUAL(flights[i].op, expected[i].first);
      BOOST_CHECK_EQUAL(flights[i].bytes, expected[i].second);
      BOOST_CHECK_EQUAL(flights[i].sequence, i);
      BOOST_CHECK_EQUAL(flights[i].step, i == 0 ? -1 : 7);
      BOOST_CHECK_EQUAL(flights[i].layer, i == 0 ? -1 : 3);
      BOOST_CHECK(flights[i].group == world);
      BOOST_REQUIRE(flights[i].started && flights[i].ended);
      BOOST_CHECK(flights[i].enqueued <= *flights[i].started && *flights[i].started <= *flights[i].ended);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_ring_buffer_keeps_the_latest_flights) {
  FlightRecorder recorder(3);
  const Group group{0, 1, 2};
  const long long first = recorder.enqueue("shift", group, 0, {});
  for (int i = 1; i < 5; ++i) recorder.end(recorder.enqueue("shift", group, std::size_t(i), {}), {});
  recorder.end(first, {});  // long gone
  const auto flights = recorder.flights();
  BOOST_REQUIRE_EQUAL(flights.size(), 3);
  for (int i = 0; i < 3; ++i) {
    BOOST_CHECK_EQUAL(flights[std::size_t(i)].sequence, i + 2);
    BOOST_CHECK_EQUAL(flights[std::size_t(i)].bytes, i + 2);
  }
}

BOOST_AUTO_TEST_CASE(a_collective_that_threw_stays_without_an_end) {
  auto recorders = recorders_for(2);
  try {
    run_on_threads(2, [&](ThreadCommunicator& threads) {
      RecordedThreads communicator(threads, recorders[std::size_t(threads.rank())]);
      std::vector<float> values(1);
      if (threads.rank() == 1) throw Error("gone");
      communicator.all_reduce(host, Group{0, 1, 2}, VectorView<float>{values.data(), 1});
    });
    BOOST_ERROR("nothing was thrown");
  } catch (const Error&) {
  }
  const auto flight = open_flight(recorders[0].flights());
  BOOST_REQUIRE(flight.has_value());
  BOOST_CHECK(!flight->started && !flight->ended);
  BOOST_CHECK(recorders[1].flights().empty());
}

BOOST_AUTO_TEST_CASE(the_rank_that_waits_for_nobody_is_the_late_one) {
  // 0 and 1 wait along tensor for nobody else; 0 waits for 1, 1 waits for 3 along ulysses, 3 computes.
  const Group tensor{0, 1, 2}, ulysses{1, 2, 2}, other{2, 1, 2};
  auto recorders = recorders_for(4);
  recorders[3].set_place(2, 5);
  recorders[3].end(recorders[3].enqueue("all_gather", other, 0, {}), {});
  recorders[2].end(recorders[2].enqueue("all_gather", other, 0, {}), {});
  recorders[1].set_place(2, 6);
  recorders[1].enqueue("all_to_all", ulysses, 0, {});
  recorders[0].enqueue("all_reduce", tensor, 0, 1s);
  const auto by_rank = flights_of(recorders);
  const LateRank found = find_late_rank(by_rank[0].back(), by_rank, FlightClock::now() + 2s);
  BOOST_CHECK_EQUAL(found.rank, 3);
  check_contains(found.message,
                 "rank 3 is late: all_to_all of ranks 1, 3 in step 2, layer 6 waits for it since 2.0 s");
  check_contains(found.message,
                 "its last collective, all_gather of ranks 2, 3 in step 2, layer 5, ended 2.0 s ago");
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_ahead_is_not_late) {
  const Group world{0, 1, 2};
  auto recorders = recorders_for(2);
  recorders[0].enqueue("shift", world, 0, 1s);
  recorders[1].end(recorders[1].enqueue("shift", world, 0, 1s), {});
  recorders[1].enqueue("shift", world, 0, 1s);
  const auto by_rank = flights_of(recorders);
  // 1 waits for 0's second; 0 has not left the first.
  const LateRank found = find_late_rank(by_rank[1].back(), by_rank, FlightClock::now());
  BOOST_CHECK_EQUAL(found.rank, 0);
  check_contains(found.message, "it is in shift of ranks 0, 1");
}

BOOST_AUTO_TEST_CASE(queued_flights_are_entered_and_end_where_the_execution_comes) {
  const Group world{0, 1, 2};
  FlightRecorder recorder;
  Gpu gpu;
  for (int i = 0; i < 3; ++i) gpu.queue(recorder, world);
  BOOST_CHECK(!open_flight(recorder.flights())->entered);
  gpu.advance(1);  // the first is entered
  auto flights = recorder.flights();
  BOOST_CHECK(flights[0].entered && !flights[0].ended && !flights[1].entered);
  BOOST_CHECK_EQUAL(open_flight(flights)->number, 0);
  gpu.advance(2);  // it has ended, and the second is entered
  flights = recorder.flights();
  BOOST_CHECK(flights[0].ended && flights[1].entered && !flights[1].ended);
  BOOST_CHECK_EQUAL(open_flight(flights)->number, 1);
  gpu.advance(3);
  BOOST_CHECK(!open_flight(recorder.flights()).has_value());
  // What was given up is never entered, and nothing behind it waits for that.
  gpu.queue(recorder, world);
  recorder.forget_queued();
  gpu.queue(recorder, world);
  gpu.advance(4);
  flights = recorder.flights();
  BOOST_CHECK(!flights[3].ended && flights[4].ended);
}

BOOST_AUTO_TEST_CASE(the_rank_whose_gpu_has_not_come_is_late_however_far_its_host_is_ahead) {
  const Group world{0, 1, 2};
  auto recorders = recorders_for(2);
  Gpu gpus[2];
  for (int i = 0; i < 4; ++i)
    for (int rank = 0; rank < 2; ++rank) gpus[rank].queue(recorders[std::size_t(rank)], world);
  gpus[1].advance(3);  // in its second, and not in the third
  gpus[0].advance(5);  // in its third
  const auto by_rank = flights_of(recorders);
  for (const auto& flights : by_rank) {
    const LateRank found = find_late_rank(*open_flight(flights), by_rank, FlightClock::now());
    BOOST_CHECK_EQUAL(found.rank, &flights == &by_rank[0] ? 1 : -1);
  }
  // Once that is found, so is what it is in.
  check_contains(find_late_rank(*open_flight(by_rank[0]), by_rank, FlightClock::now()).message,
                 "it is in all_to_all of ranks 0, 1");
}

BOOST_AUTO_TEST_CASE(a_stall_is_named_within_its_deadline_and_the_others_leave) {
  auto recorders = recorders_for(3);
  std::vector<const FlightRecorder*> watched;
  for (const auto& recorder : recorders) watched.push_back(&recorder);
  std::atomic<bool> is_released = false;
  std::string message;
  const auto begin = FlightClock::now();
  const auto deadline = [](std::string_view, const Group&, std::size_t) { return 200ms; };
  ThreadMeetings meetings(3);
  std::atomic<int> lost = 0;
  {
    Watchdog watchdog(
        watched,
        [&](const LateRank& late) {
          message = late.message;
          meetings.stop(late.rank, late.message);
          is_released = true;
        },
        20ms);
    std::vector<std::jthread> ranks;
    for (int rank = 0; rank < 3; ++rank)
      ranks.emplace_back([&, rank] {
        ThreadCommunicator threads(meetings, rank);
        Recorded communicator(threads, recorders[std::size_t(rank)], deadline);
        std::vector<float> values(1);
        const VectorView<float> view{values.data(), 1};
        communicator.all_reduce(host, Group{0, 1, 3}, view);
        try {
          if (rank == 1)
            while (!is_released) std::this_thread::sleep_for(5ms);  // stalls
          communicator.all_reduce(host, Group{0, 1, 3}, view);
        } catch (const RankLost&) {
          ++lost;
        }
      });
  }
  BOOST_CHECK_EQUAL(lost, 3);
  check_contains(message, "rank 1 is late: all_reduce of ranks 0, 1, 2 waits for it since");
  BOOST_CHECK(FlightClock::now() - begin < 10s);
}

BOOST_AUTO_TEST_CASE(no_deadline_counts_while_a_rank_is_away) {
  auto recorders = recorders_for(2);
  std::atomic<int> alarms = 0;
  const auto watch = [&] {
    return Watchdog(
        {&recorders[0], &recorders[1]}, [&](const LateRank&) { ++alarms; }, 10ms);
  };
  recorders[1].set_away(true);
  recorders[0].enqueue("all_reduce", Group{0, 1, 2}, 4, 50ms);
  {
    const Watchdog watchdog = watch();
    std::this_thread::sleep_for(300ms);
  }
  BOOST_CHECK_EQUAL(alarms, 0);
  recorders[1].set_away(false);
  {
    const Watchdog watchdog = watch();
    for (int i = 0; i < 500 && alarms == 0; ++i) std::this_thread::sleep_for(10ms);
  }
  BOOST_CHECK_EQUAL(alarms, 1);
}
