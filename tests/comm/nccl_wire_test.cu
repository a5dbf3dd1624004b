// NCCL itself, with a rank for each GPU of this machine and with one alone.
#define BOOST_TEST_MODULE nccl_wire_device
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/nccl_wire.hpp>
#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/core/gpu.cuh>
#include <stepvideo/core/gpu_event.cuh>

#include "comm/communicator_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;
using namespace stepvideo::testing;
using namespace std::chrono_literals;

BOOST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

const NcclLibrary& library() {
  static const NcclLibrary opened = [] {
    try {
      return NcclLibrary::open();
    } catch (const Error& error) {
      std::printf("skipped: %s\n", error.what());
      std::fflush(stdout);
      std::_Exit(77);
    }
  }();
  return opened;
}

int gpus() {
  int count = 0;
  check(cudaGetDeviceCount(&count));
  return std::min(count, 8);
}

struct Rank {
  explicit Rank(ThreadCommunicator& end) : gpu(end.rank()), words(end), wire(library(), words) { gpu.bind(); }

  /// What GpuCommunicator::settle does.
  void settle() {
    GpuEvent end;
    end.record(gpu.exchange());
    while (!end.is_reached()) {
      words.require_all_well();
      wire.require_works();
      std::this_thread::sleep_for(20us);
    }
  }
  /// From a to b go elements_of(a, b) elements, each a + 10 b; returns how many came wrong.
  template <class ElementsOf>
  int wrong_after_exchange(ElementsOf&& elements_of, bool are_even) {
    const int ranks = words.ranks(), me = words.rank();
    std::vector<int> sent, expected;
    std::vector<SentRun> to;
    std::vector<ReceivedRun> from;
    for (int other = 0; other < ranks; ++other) {
      sent.insert(sent.end(), std::size_t(elements_of(me, other)), me + 10 * other);
      expected.insert(expected.end(), std::size_t(elements_of(other, me)), other + 10 * me);
    }
    Buffer<int, Device> send(gpu.exchange(), std::max<index_t>(std::ssize(sent), 1)),
        receive(gpu.exchange(), std::max<index_t>(std::ssize(expected), 1));
    upload(gpu.exchange(), sent.data(), VectorView<int>{send.data(), std::ssize(sent)});
    index_t sent_at = 0, received_at = 0;
    for (int other = 0; other < ranks; ++other) {
      to.push_back({send.data() + sent_at, std::size_t(elements_of(me, other)) * sizeof(int)});
      from.push_back({receive.data() + received_at, std::size_t(elements_of(other, me)) * sizeof(int)});
      sent_at += elements_of(me, other), received_at += elements_of(other, me);
    }
    wire.exchange(gpu.exchange(), {0, 1, ranks}, to, from, are_even);
    settle();
    // On another stream: what an event says has been reached is there for all.
    std::vector<int> received(expected.size());
    download(gpu.copies(), VectorView<const int>{receive.data(), std::ssize(expected)}, received.data());
    return int(
        std::ranges::count_if(received, [&, i = 0](int value) mutable { return value != expected[i++]; }));
  }

  Gpu gpu;
  WordsOver<ThreadCommunicator> words;
  NcclWire wire;
};

}  // namespace

BOOST_AUTO_TEST_CASE(equal_and_other_runs_arrive_and_an_event_behind_them_is_not_early) {
  for (const int ranks : {1, gpus()}) {
    Findings findings;
    run_on_threads(ranks, [&](ThreadCommunicator& end) {
      Rank rank(end);
      for (const index_t size : {1, 1000, 3'000'000}) {
        const auto even = [&](int, int) { return size; };
        const auto uneven = [&](int a, int b) { return a == b ? 0 : index_t((a + 2 * b) % 4) * size; };
        findings.require(rank.wrong_after_exchange(even, true) == 0, "equal runs");
        findings.require(rank.wrong_after_exchange(even, false) == 0, "equal runs in one group");
        findings.require(rank.wrong_after_exchange(uneven, false) == 0, "other runs");
      }
      rank.wire.finish();
    });
    BOOST_TEST(findings.found() == std::vector<std::string>{}, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(starts_and_stops_leave_no_memory_of_the_gpu_and_no_thread) {
  const auto start_and_stop = [] {
    run_on_threads(gpus(), [](ThreadCommunicator& end) {
      Rank rank(end);
      rank.wrong_after_exchange([](int, int) { return index_t{1000}; }, true);
      rank.wire.finish();
    });
  };
  const auto free_bytes = [] {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    return free;
  };
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  for (int i = 0; i < 3; ++i) start_and_stop();
  const auto free_before = free_bytes();
  const auto threads_before = threads();
  for (int i = 0; i < 20; ++i) start_and_stop();
  BOOST_CHECK_GE(free_bytes() + (std::size_t{32} << 20), free_before);
  BOOST_CHECK_EQUAL(threads(), threads_before);
}

BOOST_AUTO_TEST_CASE(ranks_that_wait_on_their_gpus_for_one_that_throws_are_out_at_once) {
  const int ranks = gpus();
  if (ranks < 2) {
    std::puts("skipped: a case needs two GPUs");
    return;
  }
  std::vector<std::string> told(static_cast<std::size_t>(ranks));
  const auto begin = std::chrono::steady_clock::now();
  BOOST_CHECK_THROW(run_on_threads(ranks,
                                   [&](ThreadCommunicator& end) {
                                     Rank rank(end);
                                     rank.wrong_after_exchange([](int, int) { return index_t{1000}; }, true);
                                     try {
                                       if (end.rank() == 1) {
                                         std::this_thread::sleep_for(300ms);
                                         throw Error("the disk is full");
                                       }
                                       rank.wrong_after_exchange([](int, int) { return index_t{1000}; },
                                                                 false);
                                     } catch (const Error& error) {
                                       told[std::size_t(end.rank())] = error.what();
                                       rank.wire.abort();
                                       synchronize(rank.gpu.exchange());
                                       throw;
                                     }
                                   }),
                    Error);
  BOOST_CHECK_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 60);
  for (int rank = 0; rank < ranks; ++rank)
    if (rank != 1)
      BOOST_CHECK_MESSAGE(told[std::size_t(rank)].starts_with("rank 1 failed: the disk is full"),
                          told[std::size_t(rank)]);
}
