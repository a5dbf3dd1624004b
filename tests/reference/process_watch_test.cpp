// Who is late among processes: ranks of a wire, each a thread here.
#define BOOST_TEST_MODULE process_watch
#include "pipeline/process_watch.hpp"

#include <functional>
#include <thread>

#include <stepvideo/comm/process_communicator.hpp>

#include "comm/local_wires.hpp"

using namespace stepvideo;
using namespace stepvideo::pipeline;
using namespace stepvideo::testing;
using namespace std::chrono_literals;

namespace {

constexpr int ranks = 3;
constexpr Group world{0, 1, ranks};

/// Every rank adds up once with a deadline of 200 ms, rank 0 after `before`, in which it uses its watch or
/// does nothing. Returns what each threw.
std::vector<std::string> add_up(const std::function<void(ProcessWatch&)>& before) {
  std::vector<std::string> thrown(ranks);
  auto all = wires_between(ranks);
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] {
        RankWire& wire = *all[std::size_t(rank)];
        FlightRecorder recorder;
        ProcessWatch watch(wire, recorder);
        ProcessMessages messages(wire);
        messages.set_while_waiting([&](std::span<const int> others) { watch.look(others); });
        ProcessCommunicator communicator(messages);
        const auto deadline = [](std::string_view, const Group&, std::size_t) {
          return FlightClock::duration(200ms);
        };
        Recorded recorded(communicator, recorder, deadline);
        float value = 1;
        try {
          if (rank == 0) before(watch);
          recorded.all_reduce(host, world, VectorView<float>{&value, 1});
        } catch (const RankLate& late) {
          thrown[std::size_t(rank)] = late.what();
        }
      });
  }
  return thrown;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_that_does_not_answer_is_late) {
  const auto thrown = add_up([](ProcessWatch&) { std::this_thread::sleep_for(3s); });
  for (const int rank : {1, 2})
    BOOST_CHECK_MESSAGE(thrown[std::size_t(rank)].starts_with("rank 0 is late: rank "),
                        thrown[std::size_t(rank)]);
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_away_for_long_is_not) {
  const auto thrown = add_up([](ProcessWatch& watch) {
    watch.tell_away(true);
    std::this_thread::sleep_for(3s);
    watch.tell_away(false);
    std::this_thread::sleep_for(150ms);  // what was waited while it was away does not count
  });
  BOOST_CHECK(thrown == std::vector<std::string>(ranks));
}
