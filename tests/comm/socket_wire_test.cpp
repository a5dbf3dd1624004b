// Ranks that find each other by an address: processes of socket_rank.cpp, and threads of this one.
#define BOOST_TEST_MODULE socket_wire
#include <stepvideo/comm/process_communicator.hpp>
#include <stepvideo/comm/rendezvous.hpp>

#include "comm/communicator_cases.hpp"
#include "comm/local_wires.hpp"
#include "comm/process_cases.hpp"
#include "support/processes.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
using namespace std::chrono_literals;

namespace {

ProcessRun run_some(int ranks, const std::vector<int>& started, const std::string& scenario,
                    int patience_seconds = 20) {
  const ScratchFolder scratch;
  const auto begin = std::chrono::steady_clock::now();
  const std::string port = std::to_string(unused_port());
  std::vector<pid_t> processes;
  for (const int rank : started)
    processes.push_back(start_process({STEPVIDEO_SOCKET_RANK, std::to_string(rank), std::to_string(ranks),
                                       port, std::to_string(patience_seconds), scenario},
                                      scratch / "err", {"OMP_NUM_THREADS=1"}));
  const auto codes = wait_for_processes(processes);
  return {*std::ranges::max_element(codes), read_text(scratch / "err"),
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

Rendezvous job_of(int rank, int ranks, int port) {
  return {.rank = rank,
          .ranks = ranks,
          .host = "127.0.0.1",
          .first_port = port,
          .is_on_one_host = true,
          .token = {'a', 'b'},
          .patience = 10s};
}

std::optional<Socket> connect_here(int port) {
  return connect_to(SocketAddress::of("127.0.0.1", port).front(), SocketClock::now() + 2s);
}

/// Runs ranks 1 and up of a job beside what this thread does, each adding up once.
class OtherRanks {
 public:
  OtherRanks(int ranks, int port) {
    for (int rank = 1; rank < ranks; ++rank)
      threads_.emplace_back([=] { add_up(job_of(rank, ranks, port)); });
  }
  static float add_up(const Rendezvous& job) {
    SocketWire wire(job.rank, meet_ranks(job));
    ProcessMessages messages(wire);
    std::vector<float> values{float(job.rank)};
    run_on_processes(messages, [&](ProcessCommunicator& communicator) {
      communicator.all_reduce(host, {0, 1, job.ranks}, view_of(values));
    });
    return values[0];
  }

 private:
  std::vector<std::jthread> threads_;
};

template <class Failure, class Call>
std::string failure_of(Call&& call) {
  try {
    call();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "nothing was thrown";
}

void check_contains(const std::string& text, const std::string& phrase) {
  BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

/// A rank's wire and the bare ends of its connection with another.
struct WireAndStranger {
  std::optional<SocketWire> wire;
  RankSockets stranger;

  WireAndStranger() {
    auto [words, other_words] = connection();
    auto [data, other_data] = connection();
    std::vector<RankSockets> sockets(2);
    sockets[1] = {std::move(words), std::move(data)};
    wire.emplace(0, std::move(sockets));
    stranger = {std::move(other_words), std::move(other_data)};
  }
};

}  // namespace

ProcessRun stepvideo::testing::start_ranks(int ranks, const std::string& scenario) {
  std::vector<int> all(std::size_t(ranks), 0);
  for (int rank = 0; rank < ranks; ++rank) all[std::size_t(rank)] = rank;
  return run_some(ranks, all, scenario);
}

BOOST_AUTO_TEST_CASE(a_killed_rank_is_named_by_all_others_at_once) {
  const ProcessRun run = start_ranks(3, "kill");
  BOOST_CHECK_EQUAL(run.exit_code, 128 + SIGKILL);
  BOOST_CHECK_LT(run.seconds, 5);
  for (const char* const rank : {"0", "2"})
    check_contains(run.errors, std::string("rank 1 is gone: its process ended without a word; rank ") + rank +
                                   " left all_reduce of ranks 0, 1, 2");
}

BOOST_AUTO_TEST_CASE(ranks_that_do_not_come_are_named) {
  const ProcessRun two = run_some(4, {0, 2}, "throw", 1);
  check_contains(two.errors, "ranks 1, 3 of 4 did not come to rank 0 within 1 s");
  check_contains(two.errors, "rank 0 ended before all ranks had come");
  BOOST_CHECK_LT(two.seconds, 5);
  const ProcessRun none = run_some(2, {1}, "throw", 1);
  check_contains(none.errors, "rank 1 did not reach rank 0 at 127.0.0.1, ports 1");
  check_contains(none.errors, "within 1 s: Connection refused");
}

BOOST_AUTO_TEST_CASE(rank_0_takes_the_next_port_where_another_program_has_the_first) {
  const int port = unused_port();
  const auto others = listen_on(SocketAddress::of("127.0.0.1", port).front());
  BOOST_REQUIRE(others);
  const OtherRanks ranks(3, port);
  BOOST_CHECK_EQUAL(OtherRanks::add_up(job_of(0, 3, port)), 3);
}

BOOST_AUTO_TEST_CASE(strangers_are_refused_and_nobody_waits_for_them) {
  const int port = unused_port();
  Rendezvous job = job_of(0, 3, port);
  std::optional<float> sum;
  std::jthread rank_0([&] { sum = OtherRanks::add_up(job); });
  std::optional<Socket> silent;
  while (!silent) silent = connect_here(port);
  std::vector<Socket> strangers;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{48}, std::size_t{100000}}) {
    auto stranger = connect_here(port);
    BOOST_REQUIRE(stranger);
    const std::vector<std::byte> noise(bytes, std::byte{0x2a});
    std::span<const std::byte> rest = noise;
    send_some(*stranger, rest);
    strangers.push_back(std::move(*stranger));
  }
  // The token is right but for its last letter.
  rendezvous_detail::Claim claim{.token = job.token, .rank = 1, .ranks = 3, .kind = 0, .port = 1};
  claim.token.back() = 'x';
  auto almost = connect_here(port);
  BOOST_REQUIRE(almost);
  BOOST_CHECK(send_all(*almost, rendezvous_detail::bytes_of(claim), SocketClock::now() + 1s));
  std::array<std::byte, 20> answer;  // the greeting, then an answer
  BOOST_CHECK(!receive_all(*almost, answer, SocketClock::now() + 2s));
  const auto begin = SocketClock::now();
  {
    const OtherRanks ranks(3, port);
    rank_0.join();
  }
  BOOST_REQUIRE(sum);
  BOOST_CHECK_EQUAL(*sum, 3);
  BOOST_CHECK(SocketClock::now() - begin < 4s);
  BOOST_CHECK(!connect_here(port));  // nobody listens any more
}

BOOST_AUTO_TEST_CASE(starts_and_stops_leave_no_port_and_no_file_open) {
  const int port = unused_port();
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = open_files();
  for (int i = 0; i < 50; ++i) {
    const OtherRanks ranks(3, port);
    BOOST_CHECK_EQUAL(OtherRanks::add_up(job_of(0, 3, port)), 3);
  }
  BOOST_CHECK_EQUAL(open_files(), before);
  for (int i = 0; i < Rendezvous::ports; ++i) BOOST_CHECK(!connect_here(port + i));
}

BOOST_AUTO_TEST_CASE(a_second_process_of_one_rank_is_refused) {
  const int port = unused_port();
  const auto run = [&](int rank, std::chrono::milliseconds patience) {
    Rendezvous job = job_of(rank, 3, port);
    job.patience = patience;
    return failure_of<Error>([&] { meet_ranks(job); });
  };
  std::string first, second, missing;
  {
    std::jthread rank_0([&] { missing = run(0, 1500ms); }), one([&] { first = run(1, 1000ms); }),
        other([&] { second = run(1, 1000ms); });
  }
  check_contains(missing, "rank 2 of 3 did not come to rank 0 within 1 s");
  check_contains(first + second, "has this rank already");
}

BOOST_AUTO_TEST_CASE(a_rank_of_another_number_of_ranks_is_refused) {
  const int port = unused_port();
  std::string failure;
  {
    std::jthread rank_0([&] {
      Rendezvous job = job_of(0, 2, port);
      job.patience = 1s;
      failure_of<Error>([&] { meet_ranks(job); });
    });
    failure = failure_of<Error>([&] { meet_ranks(job_of(1, 3, port)); });
  }
  check_contains(failure, "rank 0 was started for another number of ranks than rank 1, which has 3");
}

BOOST_AUTO_TEST_CASE(a_host_that_only_it_can_reach_is_refused_for_ranks_of_others) {
  Rendezvous job = job_of(0, 2, unused_port());
  job.is_on_one_host = false;
  check_contains(failure_of<Error>([&] { meet_ranks(job); }),
                 "127.0.0.1, where ranks of other hosts cannot reach it");
  job.host = "no-such-host.invalid";
  check_contains(failure_of<Error>([&] { meet_ranks(job); }), "the host no-such-host.invalid has no address");
}

BOOST_AUTO_TEST_CASE(a_message_of_a_length_that_none_has_ends_the_connection) {
  WireAndStranger pair;
  const std::uint32_t head[] = {0xffffffff, 0};
  BOOST_CHECK(send_all(pair.stranger.words, std::as_bytes(std::span(head)), SocketClock::now() + 1s));
  BOOST_CHECK(!pair.wire->take(1, RankWire::Channel::calls));
  BOOST_CHECK(pair.wire->is_gone(1));
}

BOOST_AUTO_TEST_CASE(a_message_that_says_nothing_is_an_error) {
  WireAndStranger pair;
  const std::uint32_t message[] = {8, 0, 1, 2};  // 8 bytes of the channel of calls
  BOOST_CHECK(send_all(pair.stranger.words, std::as_bytes(std::span(message)), SocketClock::now() + 1s));
  ProcessMessages messages(*pair.wire);
  ProcessCommunicator communicator(messages);
  std::vector<float> values{1};
  check_contains(failure_of<Error>([&] {
                   communicator.all_reduce(host, {0, 1, 2}, view_of(values));
                 }),
                 "rank 1 sent a message of 8 bytes that says nothing");
}

BOOST_AUTO_TEST_CASE(nobody_waits_for_a_rank_that_takes_nothing) {
  WireAndStranger pair;
  const std::vector<std::byte> message(500);
  const auto begin = SocketClock::now();
  for (int i = 0; i < 10000; ++i) pair.wire->post(1, RankWire::Channel::notes, message);
  BOOST_CHECK(SocketClock::now() - begin < 5s);
  BOOST_CHECK(!pair.wire->is_posted());
}

BOOST_AUTO_TEST_CASE(what_a_rank_said_before_it_was_gone_can_be_taken) {
  WireAndStranger pair;
  const std::uint32_t message[] = {4, 1, 77};
  BOOST_CHECK(send_all(pair.stranger.words, std::as_bytes(std::span(message)), SocketClock::now() + 1s));
  pair.stranger = {};
  pair.wire->pause();
  BOOST_CHECK(pair.wire->is_gone(1));
  BOOST_REQUIRE(pair.wire->take(1, RankWire::Channel::notes));
}

BOOST_AUTO_TEST_CASE(data_that_is_larger_than_any_buffer_moves_both_ways) {
  const int port = unused_port();
  const std::size_t size = 8 << 20;
  const auto exchange = [&](int rank) {
    const Rendezvous job = job_of(rank, 2, port);
    SocketWire wire(rank, meet_ranks(job));
    ProcessMessages messages(wire);
    std::vector<int> send(2 * size, rank), receive(2 * size, -1);
    const std::vector<index_t> counts(2, size);
    run_on_processes(messages, [&](ProcessCommunicator& communicator) {
      communicator.all_to_all(host, {0, 1, 2}, view_of(send), counts, view_of(receive), counts);
    });
    return std::ranges::count(receive, 0) == std::ptrdiff_t(size) &&
           std::ranges::count(receive, 1) == std::ptrdiff_t(size);
  };
  bool is_right = false;
  {
    std::jthread other([&] { is_right = exchange(1); });
    BOOST_CHECK(exchange(0));
  }
  BOOST_CHECK(is_right);
}
