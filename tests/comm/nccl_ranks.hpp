// Ranks that are threads, each with a wire of NCCL's over the library that stands in for it.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/exchange_communicator.hpp>
#include <stepvideo/comm/nccl_wire.hpp>
#include <stepvideo/comm/rank_words.hpp>
#include <stepvideo/comm/thread_communicator.hpp>
#include <stepvideo/core/shared_library.hpp>

#include "comm/communicator_cases.hpp"
#include "comm/nccl_stand_in.hpp"

namespace stepvideo::testing {

using Lines = std::vector<std::string>;
using namespace std::chrono_literals;

inline NcclStandIn& stand_in(const char* path = STEPVIDEO_NCCL_STAND_IN) {
  return *SharedLibrary(path).get<NcclStandIn*()>(nccl_stand_in_symbol)();
}

/// A variable of the environment for as long as this lives; without a value it is unset.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Begins every test with a fresh stand-in and an environment that says nothing.
struct Fresh {
  Fresh() { stand_in().reset(); }
  Variable blocking{"NCCL_COMM_BLOCKING", nullptr}, multicast{"NCCL_NVLS_ENABLE", nullptr},
      ras{"NCCL_RAS_ENABLE", nullptr}, buffer{"NCCL_BUFFSIZE", nullptr}, interface {
    "NCCL_SOCKET_IFNAME", nullptr
  };
};

/// Streams of the stand-in are names.
inline CUstream_st* stream_of(int rank) {
  return reinterpret_cast<CUstream_st*>(std::uintptr_t(rank + 1));
}

/// What GpuExchange does on GPUs, on the host's memory.
class StandInExchange {
 public:
  using ExecutionType = Host;

  StandInExchange(RankWords& words, NcclWire& wire) : words_(words), wire_(wire) {}

  int rank() const { return words_.rank(); }
  int ranks() const { return words_.ranks(); }
  void meet(const Group& group, const Arrival& arrival) { are_even_ = words_.meet(group, arrival); }

  void exchange(Host, const Group& group, std::span<const SentRun> sent,
                std::span<const ReceivedRun> received) {
    std::vector<SentRun> to(sent.begin(), sent.end());
    std::vector<ReceivedRun> from(received.begin(), received.end());
    const auto me = std::size_t(group.member(rank()));
    const bool are_even = std::exchange(are_even_, false);
    if (!are_even) {
      if (to[me].bytes > 0) std::memmove(from[me].data, to[me].data, to[me].bytes);
      to[me] = {}, from[me] = {};
    }
    try {
      move(group, to, from, are_even);
    } catch (...) {
      // This memory is freed as the exception passes; a GPU's would be behind its stream.
      wire_.abort();
      throw;
    }
  }

 private:
  void move(const Group& group, std::span<const SentRun> to, std::span<const ReceivedRun> from,
            bool are_even) {
    const Device device{stream_of(rank())};
    wire_.exchange(device, group, to, from, are_even);
    const auto begin = std::chrono::steady_clock::now();
    while (!stand_in().is_done(device.stream)) {
      if (std::chrono::steady_clock::now() - begin > 20s) throw Error("what is in the stream does not end");
      words_.require_all_well();
      wire_.require_works();
      std::this_thread::sleep_for(20us);
    }
  }

  RankWords& words_;
  NcclWire& wire_;
  bool are_even_ = false;
};
using StandInCommunicator = ExchangeCommunicator<StandInExchange>;

/// One rank with its wire.
struct Rank {
  Rank(ThreadCommunicator& end, const NcclLibrary& library, NcclOptions options)
      : words(end), wire(library, words, options), communicator(words, wire) {}

  int rank() const { return words.rank(); }
  Group group(const Topology& gpus, Axis axis) const { return Mesh{gpus}.group(axis, rank()); }
  /// Members of `group` send each other 3 elements.
  void exchange_evenly(const Group& group) {
    const std::vector<index_t> counts(std::size_t(group.size), 3);
    std::vector<int> send(std::size_t(group.size) * 3, rank()), receive(send.size());
    communicator.all_to_all(host, group, view_of(send), counts, view_of(receive), counts);
  }

  /// Returns when all ranks are here.
  void meet_all() {
    const std::byte here{};
    std::vector<std::byte> all(std::size_t(words.ranks()));
    words.gather({0, 1, words.ranks()}, {&here, 1}, all);
  }

  WordsOver<ThreadCommunicator> words;
  NcclWire wire;
  StandInCommunicator communicator;
};

struct Outcome {
  std::string failure;            ///< what run_on_threads threw
  std::vector<std::string> told;  ///< each rank's exception, by rank
  std::vector<Lines> calls;       ///< of each rank, its wire's end among them
  int communicators_left = 0;
  double seconds = 0;
};

/// Runs `work(Rank&)` on every rank.
template <class Work>
Outcome run(int ranks, Work&& work, const NcclOptions& options = {},
            const NcclChoice& choice = {STEPVIDEO_NCCL_STAND_IN}) {
  const NcclLibrary library = NcclLibrary::open(choice);
  const auto count = std::size_t(ranks);
  Outcome outcome;
  outcome.told.resize(count), outcome.calls.resize(count);
  const auto begin = std::chrono::steady_clock::now();
  try {
    run_on_threads(ranks, [&](ThreadCommunicator& end) {
      const auto me = std::size_t(end.rank());
      const struct Note {
        Lines& calls;
        std::string path;
        ~Note() { calls = stand_in(path.c_str()).calls(); }
      } note{outcome.calls[me], choice.path};
      try {
        Rank rank(end, library, options);
        work(rank);
      } catch (const std::exception& error) {
        outcome.told[me] = error.what();
        throw;
      }
    });
  } catch (const std::exception& error) {
    outcome.failure = error.what();
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome.communicators_left = stand_in(choice.path.c_str()).communicators();
  return outcome;
}

inline void check_orderly(const Outcome& outcome) {
  BOOST_CHECK_EQUAL(outcome.failure, "");
  BOOST_CHECK_EQUAL(outcome.communicators_left, 0);
  BOOST_TEST(stand_in().misuse() == Lines{}, boost::test_tools::per_element());
  for (const Lines& calls : outcome.calls) BOOST_CHECK_EQUAL(std::ranges::count(calls, "ncclCommAbort"), 0);
}

inline void check_says(const std::string& said, const std::string& pattern) {
  BOOST_CHECK_MESSAGE(std::regex_search(said, std::regex(pattern)), "'" << said << "' lacks: " << pattern);
}

/// The last calls of a rank that had `communicators`.
inline void check_aborts_in_one_group(const Lines& calls, int communicators) {
  Lines expected(std::size_t(communicators), "ncclCommAbort");
  expected.insert(expected.begin(), "ncclGroupStart");
  expected.push_back("ncclGroupEnd");
  BOOST_REQUIRE_GE(calls.size(), expected.size());
  BOOST_TEST(Lines(calls.end() - std::ssize(expected), calls.end()) == expected,
             boost::test_tools::per_element());
  BOOST_CHECK_EQUAL(std::ranges::count(calls, "ncclCommAbort"), communicators);
}

inline Lines without_making(const Lines& calls) {
  Lines rest;
  for (const std::string& call : calls)
    if (!call.starts_with("ncclCommInit") && call != "ncclGetUniqueId") rest.push_back(call);
  return rest;
}

}  // namespace stepvideo::testing
