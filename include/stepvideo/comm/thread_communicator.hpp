// Ranks that are threads of this process, on the host: sharding without a GPU, and several ranks in one
// program.
#pragma once
#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <omp.h>

#include <stepvideo/comm/agreement.hpp>
#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/thread_meetings.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/round_into.hpp>

namespace stepvideo {

/// One rank's end of ThreadMeetings. For one thread at a time; copies are ends of the same rank.
class ThreadCommunicator {
 public:
  using ExecutionType = Host;

  ThreadCommunicator(ThreadMeetings& meetings, int rank) : meetings_(&meetings), rank_(rank) {}

  int rank() const { return rank_; }
  int ranks() const { return meetings_->ranks(); }
  /// When the last member came to this rank's latest collective.
  ThreadMeetings::Clock::time_point met() const { return met_; }

  template <Summable T>
  void all_reduce(Host, const Group& group, VectorView<T> values) {
    require_member("all_reduce", group, rank_);
    if (group.size == 1) return;
    meet(group, Arrival::of<T>("all_reduce", {}, values), [&](std::span<const Arrival> ranks) {
      // Each member adds up a part, which no other reads, and writes it everywhere.
      const Shard part = shard_of(values.size, group.size, group.member(rank_));
      add_up<T>(ranks, &Arrival::receive, part, [&](index_t i, T sum) {
        for (const Arrival& to : ranks) static_cast<T*>(to.receive)[i] = sum;
      });
    });
  }

  template <Movable T>
  void all_gather(Host, const Group& group, std::type_identity_t<VectorView<const T>> mine, Counts counts,
                  VectorView<T> all) {
    require_member("all_gather", group, rank_);
    require_counts("all_gather", "all", group, counts, all.size);
    require_part("all_gather", mine.size, counts[std::size_t(group.member(rank_))]);
    if (group.size == 1) return copy(mine.data, all.data, all.size);
    meet(group, Arrival::of<T>("all_gather", mine, all, counts), [&](std::span<const Arrival> ranks) {
      T* to = all.data;
      for (const Arrival& from : ranks) {
        copy(static_cast<const T*>(from.send), to, from.send_size);
        to += from.send_size;
      }
    });
  }

  template <Summable T>
  void reduce_scatter(Host, const Group& group, std::type_identity_t<VectorView<const T>> all, Counts counts,
                      VectorView<T> mine) {
    require_member("reduce_scatter", group, rank_);
    require_counts("reduce_scatter", "all", group, counts, all.size);
    require_part("reduce_scatter", mine.size, counts[std::size_t(group.member(rank_))]);
    if (group.size == 1) return copy(all.data, mine.data, all.size);
    meet(group, Arrival::of<T>("reduce_scatter", all, mine, counts), [&](std::span<const Arrival> ranks) {
      const index_t first = sum_of(counts.first(std::size_t(group.member(rank_))));
      add_up<T>(ranks, &Arrival::send, {first, mine.size}, [&](index_t i, T sum) { mine[i - first] = sum; });
    });
  }

  template <Movable T>
  void all_to_all(Host, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) {
    require_member("all_to_all", group, rank_);
    require_counts("all_to_all", "send", group, send_counts, send.size);
    require_counts("all_to_all", "receive", group, receive_counts, receive.size);
    const auto me = std::size_t(group.member(rank_));
    require_part("all_to_all", send_counts[me], receive_counts[me]);
    if (group.size == 1) return copy(send.data, receive.data, send.size);
    meet(group, Arrival::of<T>("all_to_all", send, receive, send_counts, receive_counts),
         [&](std::span<const Arrival> ranks) {
           T* to = receive.data;
           for (const Arrival& from : ranks) {
             copy(static_cast<const T*>(from.send) + sum_of(from.send_counts.first(me)), to,
                  from.send_counts[me]);
             to += from.send_counts[me];
           }
         });
  }

  template <Movable T>
  void shift(Host, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) {
    require_member("shift", group, rank_);
    if (group.size == 1) {
      require_part("shift", send.size, receive.size);
      return copy(send.data, receive.data, send.size);
    }
    meet(group, Arrival::of<T>("shift", send, receive), [&](std::span<const Arrival> ranks) {
      const auto before = std::size_t((group.member(rank_) + group.size - 1) % group.size);
      copy(static_cast<const T*>(ranks[before].send), receive.data, receive.size);
    });
  }

  template <Movable T>
  void broadcast(Host, const Group& group, VectorView<T> values, int root) {
    require_member("broadcast", group, rank_);
    require_root("broadcast", group, root);
    if (group.size == 1) return;
    Arrival mine = Arrival::of<T>("broadcast", {}, values);
    mine.root = root;
    meet(group, mine, [&](std::span<const Arrival> ranks) {
      if (group.member(rank_) != root)
        copy(static_cast<const T*>(ranks[std::size_t(root)].receive), values.data, values.size);
    });
  }

  /// As ThreadMeetings::meet.
  template <class Work>
  void meet(const Group& group, const Arrival& arrival, Work&& work) {
    met_ = meetings_->meet(rank_, group, arrival, work);
  }
  /// Agrees on a collective that moves no memory of the host; see RankWords.
  bool meet(const Group& group, const Arrival& arrival) {
    bool is_even = false;
    meet(group, arrival, [&](std::span<const Arrival> ranks) { is_even = are_even(ranks); });
    return is_even;
  }
  void require_all_well() const { meetings_->require_all_well(rank_); }

 private:
  template <class T>
  static void copy(const T* from, T* to, index_t count) {
    if (from != to && count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
  }

  /// `store(i, sum over the ranks, in their order)` for each i of the part.
  template <class T, class Memory, class Store>
  static void add_up(std::span<const Arrival> ranks, Memory Arrival::*memory, Shard part, Store&& store) {
    for (index_t i = part.first; i < part.end(); ++i)
      store(i, sum_in_order<T>(ranks.size(), [&](std::size_t rank) {
              return static_cast<const T*>(ranks[rank].*memory)[i];
            }));
  }

  ThreadMeetings* meetings_;
  int rank_;
  ThreadMeetings::Clock::time_point met_{};
};
static_assert(Communicator<ThreadCommunicator>);

/// Calls `work(ThreadCommunicator&)` on a thread for each rank of `meetings`, rank 0's on the calling one;
/// they share its OpenMP threads. When one throws, the others throw RankLost from their next collective, or
/// from the one that they wait in; when all have ended, throws what the first one threw. The meetings are of
/// no use afterwards.
template <class Work>
void run_on_threads(ThreadMeetings& meetings, Work&& work) {
  const int ranks = meetings.ranks();
  std::mutex mutex;
  std::exception_ptr first_failure;
  const int threads = omp_get_max_threads();
  const auto run_rank = [&](int rank) {
    const Shard share = shard_of(std::max(threads, ranks), ranks, rank);
    omp_set_num_threads(static_cast<int>(share.count));
    ThreadCommunicator communicator(meetings, rank);
    const auto fail = [&](const char* why) {
      {
        const std::lock_guard lock(mutex);
        if (!first_failure) first_failure = std::current_exception();
      }
      meetings.stop(rank, why);
    };
    try {
      work(communicator);
    } catch (const std::exception& error) {
      fail(error.what());
    } catch (...) {
      fail("an unknown exception");
    }
    meetings.finish();
  };
  std::vector<std::jthread> others;
  try {
    for (int rank = 1; rank < ranks; ++rank) others.emplace_back(run_rank, rank);
  } catch (const std::system_error& error) {
    const auto without_thread = std::to_string(others.size() + 1);
    meetings.stop(static_cast<int>(others.size()) + 1, error.what());
    others.clear();
    throw Error("rank " + without_thread + " of " + std::to_string(ranks) +
                " got no thread: " + error.what());
  }
  run_rank(0);
  others.clear();  // joins
  omp_set_num_threads(threads);
  if (first_failure) std::rethrow_exception(first_failure);
}

/// The same on `ranks` threads.
template <class Work>
void run_on_threads(int ranks, Work&& work) {
  require(ranks >= 1, [&] { return "run_on_threads: " + std::to_string(ranks) + " ranks; 1 or more work"; });
  ThreadMeetings meetings(ranks);
  run_on_threads(meetings, std::forward<Work>(work));
}

}  // namespace stepvideo
