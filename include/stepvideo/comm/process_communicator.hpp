// Ranks that are processes, on one host or several.
#pragma once
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/process_messages.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

/// Every collective begins with small messages in which the members agree on it, so that disagreement and
/// death are seen before data moves; then the data goes from rank to rank. Sums have the ranks' order, as
/// ThreadCommunicator's: the same values give the same bits.
class ProcessCommunicator {
 public:
  using ExecutionType = Host;

  explicit ProcessCommunicator(ProcessMessages& messages) : messages_(messages) {}

  int rank() const { return messages_.rank(); }
  int ranks() const { return messages_.ranks(); }
  ProcessMessages& messages() const { return messages_; }

  template <Summable T>
  void all_reduce(Host, const Group& group, VectorView<T> values) {
    require_member("all_reduce", group, rank());
    if (group.size == 1) return;
    // Each member adds up a part and sends it to all.
    std::vector<index_t> counts;
    for (int member = 0; member < group.size; ++member)
      counts.push_back(shard_of(values.size, group.size, member).count);
    const Shard part = shard_of(values.size, group.size, group.member(rank()));
    const VectorView<T> mine{values.data + part.first, part.count};
    std::vector<T> parts = room_for_parts(group, mine);
    messages_.meet(group, Arrival::of<T>("all_reduce", {}, values));
    sum_parts<T>(group, values, counts, parts, mine);
    exchange<T>(
        group, [&](int) { return VectorView<const T>(mine); },
        [&](int member) {
          const Shard of = shard_of(values.size, group.size, member);
          return VectorView<T>{values.data + of.first, of.count};
        });
  }

  template <Movable T>
  void all_gather(Host, const Group& group, std::type_identity_t<VectorView<const T>> mine, Counts counts,
                  VectorView<T> all) {
    require_member("all_gather", group, rank());
    require_counts("all_gather", "all", group, counts, all.size);
    require_part("all_gather", mine.size, counts[std::size_t(group.member(rank()))]);
    if (group.size > 1) messages_.meet(group, Arrival::of<T>("all_gather", mine, all, counts));
    exchange<T>(
        group, [&](int) { return mine; }, [&](int member) { return run_of(all, counts, member); });
  }

  template <Summable T>
  void reduce_scatter(Host, const Group& group, std::type_identity_t<VectorView<const T>> all, Counts counts,
                      VectorView<T> mine) {
    require_member("reduce_scatter", group, rank());
    require_counts("reduce_scatter", "all", group, counts, all.size);
    require_part("reduce_scatter", mine.size, counts[std::size_t(group.member(rank()))]);
    std::vector<T> parts = room_for_parts(group, mine);
    if (group.size > 1) messages_.meet(group, Arrival::of<T>("reduce_scatter", all, mine, counts));
    sum_parts<T>(group, all, counts, parts, mine);
  }

  template <Movable T>
  void all_to_all(Host, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) {
    require_member("all_to_all", group, rank());
    require_counts("all_to_all", "send", group, send_counts, send.size);
    require_counts("all_to_all", "receive", group, receive_counts, receive.size);
    const auto me = std::size_t(group.member(rank()));
    require_part("all_to_all", send_counts[me], receive_counts[me]);
    if (group.size > 1)
      messages_.meet(group, Arrival::of<T>("all_to_all", send, receive, send_counts, receive_counts));
    exchange<T>(
        group, [&](int member) { return run_of(send, send_counts, member); },
        [&](int member) { return run_of(receive, receive_counts, member); });
  }

  template <Movable T>
  void shift(Host, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) {
    require_member("shift", group, rank());
    if (group.size == 1)
      require_part("shift", send.size, receive.size);
    else
      messages_.meet(group, Arrival::of<T>("shift", send, receive));
    const int me = group.member(rank()), next = (me + 1) % group.size,
              before = (me + group.size - 1) % group.size;
    exchange<T>(
        group, [&](int member) { return member == next ? send : VectorView<const T>{}; },
        [&](int member) { return member == before ? receive : VectorView<T>{}; });
  }

  template <Movable T>
  void broadcast(Host, const Group& group, VectorView<T> values, int root) {
    require_member("broadcast", group, rank());
    require_root("broadcast", group, root);
    if (group.size == 1) return;
    Arrival arrival = Arrival::of<T>("broadcast", {}, values);
    arrival.root = root;
    messages_.meet(group, arrival);
    const bool is_root = group.member(rank()) == root;
    exchange<T>(
        group, [&](int) { return is_root ? VectorView<const T>(values) : VectorView<const T>{}; },
        [&](int member) { return !is_root && member == root ? values : VectorView<T>{}; });
  }

 private:
  template <class T>
  static VectorView<T> run_of(VectorView<T> runs, Counts counts, int member) {
    const auto at = static_cast<std::size_t>(member);
    return {runs.data + sum_of(counts.first(at)), counts[at]};
  }

  /// Sends `to(member)` to each other member while `from(member)` is received from it; what goes to itself is
  /// copied. Empty runs are not sent.
  template <class T, class To, class From>
  void exchange(const Group& group, To&& to, From&& from) const {
    const int me = group.member(rank());
    std::vector<int> others;
    for (int member = 0; member < group.size; ++member) {
      const VectorView<const T> send = to(member);
      const VectorView<T> receive = from(member);
      if (member == me) {
        if (send.size > 0 && receive.size > 0 && send.data != receive.data)
          std::memcpy(receive.data, send.data, static_cast<std::size_t>(send.size) * sizeof(T));
        continue;
      }
      others.push_back(group.rank(member));
      RankWire& wire = messages_.wire();
      if (receive.size > 0)
        wire.begin_receive(others.back(),
                           std::as_writable_bytes(std::span(receive.data, std::size_t(receive.size))));
      if (send.size > 0)
        wire.begin_send(others.back(), std::as_bytes(std::span(send.data, std::size_t(send.size))));
    }
    messages_.move(others);
  }

  /// Asked for before the members meet: once they have, they wait for this one's data.
  template <class T>
  static std::vector<T> room_for_parts(const Group& group, VectorView<T> mine) {
    return std::vector<T>(static_cast<std::size_t>(group.size) * static_cast<std::size_t>(mine.size));
  }

  /// mine = the sum of this member's run of everybody's `all`; may lie at its place in it.
  template <class T>
  void sum_parts(const Group& group, VectorView<const T> all, Counts counts, std::vector<T>& parts,
                 VectorView<T> mine) const {
    const auto members = static_cast<std::size_t>(group.size);
    exchange<T>(
        group, [&](int member) { return run_of(all, counts, member); },
        [&](int member) {
          return VectorView<T>{parts.data() + member * mine.size, mine.size};
        });
    for (index_t i = 0; i < mine.size; ++i)
      mine[i] = sum_in_order<T>(members, [&](std::size_t member) {
        return parts[member * static_cast<std::size_t>(mine.size) + static_cast<std::size_t>(i)];
      });
  }

  ProcessMessages& messages_;
};
static_assert(Communicator<ProcessCommunicator>);

/// Calls `work(ProcessCommunicator&)` on this process' rank. All ranks reach the end together: what `work`
/// wrote down before it threw is there on all ranks before any process is gone. Throws what `work` throws,
/// and RankLost where it went well and another rank failed.
template <class Work>
void run_on_processes(ProcessMessages& messages, Work&& work) {
  ProcessCommunicator communicator(messages);
  try {
    work(communicator);
  } catch (const std::exception& error) {
    messages.end(error.what());
    throw;
  } catch (...) {
    messages.end("an unknown exception");
    throw;
  }
  if (const std::string failure = messages.end({}); !failure.empty())
    throw RankLost(failure + "; rank " + std::to_string(messages.rank()) + " had ended");
}

}  // namespace stepvideo
