// Every collective made of one thing: members of a group that have agreed on it exchange runs of elements.
#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <stepvideo/comm/agreement.hpp>
#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/kernels/elementwise/sum_parts.hpp>

namespace stepvideo {

/// Memory that a member gets, or that it fills.
struct SentRun {
  const void* data = nullptr;
  std::size_t bytes = 0;
};
struct ReceivedRun {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// How runs travel. `meet` returns when all members have said what they call and agree on it, and throws what
/// require_agreement throws, or RankLost. `exchange` follows a meeting: of the runs by member each goes to
/// its member while each comes from its member, what a rank sends itself is copied, and empty runs do not
/// travel. Both may return before the data is there, in the order of the execution, in which what was sent
/// may be written again behind it.
template <class X>
concept Exchange = requires(X& exchange, typename X::ExecutionType execution, const Group& group,
                            const Arrival& arrival, std::span<SentRun> sent,
                            std::span<ReceivedRun> received) {
  { exchange.rank() } -> std::same_as<int>;
  { exchange.ranks() } -> std::same_as<int>;
  exchange.meet(group, arrival);
  exchange.exchange(execution, group, sent, received);
};

/// A rank's collectives over X, which is part of it. Sums have the members' order, as ThreadCommunicator's:
/// the same values give the same bits.
template <Exchange X>
class ExchangeCommunicator {
 public:
  using ExecutionType = typename X::ExecutionType;
  using E = ExecutionType;

  template <class... Arguments>
  explicit ExchangeCommunicator(Arguments&&... arguments)
      : exchange_(std::forward<Arguments>(arguments)...) {}

  int rank() const { return exchange_.rank(); }
  int ranks() const { return exchange_.ranks(); }

  template <Summable T>
  void all_reduce(E execution, const Group& group, VectorView<T> values) {
    require_member("all_reduce", group, rank());
    if (group.size == 1) return;
    // Each member adds up a part and sends it to all.
    std::vector<index_t> counts;
    for (int member = 0; member < group.size; ++member)
      counts.push_back(shard_of(values.size, group.size, member).count);
    const VectorView<T> mine = run_of(values, counts, group.member(rank()));
    const Buffer<T, E> parts = room_for_parts<T>(execution, counts);
    exchange_.meet(group, Arrival::of<T>("all_reduce", {}, values));
    sum_runs<T>(execution, group, values, counts, parts, mine);
    exchange<T>(
        execution, group, [&](int) { return VectorView<const T>(mine); },
        [&](int member) { return run_of(values, counts, member); });
  }

  template <Movable T>
  void all_gather(E execution, const Group& group, std::type_identity_t<VectorView<const T>> mine,
                  Counts counts, VectorView<T> all) {
    require_member("all_gather", group, rank());
    require_counts("all_gather", "all", group, counts, all.size);
    require_part("all_gather", mine.size, counts[std::size_t(group.member(rank()))]);
    if (group.size > 1) exchange_.meet(group, Arrival::of<T>("all_gather", mine, all, counts));
    exchange<T>(
        execution, group, [&](int) { return mine; }, [&](int member) { return run_of(all, counts, member); });
  }

  template <Summable T>
  void reduce_scatter(E execution, const Group& group, std::type_identity_t<VectorView<const T>> all,
                      Counts counts, VectorView<T> mine) {
    require_member("reduce_scatter", group, rank());
    require_counts("reduce_scatter", "all", group, counts, all.size);
    require_part("reduce_scatter", mine.size, counts[std::size_t(group.member(rank()))]);
    const Buffer<T, E> parts = room_for_parts<T>(execution, counts);
    if (group.size > 1) exchange_.meet(group, Arrival::of<T>("reduce_scatter", all, mine, counts));
    sum_runs<T>(execution, group, all, counts, parts, mine);
  }

  template <Movable T>
  void all_to_all(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) {
    require_member("all_to_all", group, rank());
    require_counts("all_to_all", "send", group, send_counts, send.size);
    require_counts("all_to_all", "receive", group, receive_counts, receive.size);
    const auto me = std::size_t(group.member(rank()));
    require_part("all_to_all", send_counts[me], receive_counts[me]);
    if (group.size > 1)
      exchange_.meet(group, Arrival::of<T>("all_to_all", send, receive, send_counts, receive_counts));
    exchange<T>(
        execution, group, [&](int member) { return run_of(send, send_counts, member); },
        [&](int member) { return run_of(receive, receive_counts, member); });
  }

  template <Movable T>
  void shift(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) {
    require_member("shift", group, rank());
    if (group.size == 1)
      require_part("shift", send.size, receive.size);
    else
      exchange_.meet(group, Arrival::of<T>("shift", send, receive));
    const int me = group.member(rank()), next = (me + 1) % group.size,
              before = (me + group.size - 1) % group.size;
    exchange<T>(
        execution, group, [&](int member) { return member == next ? send : VectorView<const T>{}; },
        [&](int member) { return member == before ? receive : VectorView<T>{}; });
  }

  template <Movable T>
  void broadcast(E execution, const Group& group, VectorView<T> values, int root) {
    require_member("broadcast", group, rank());
    require_root("broadcast", group, root);
    if (group.size == 1) return;
    Arrival arrival = Arrival::of<T>("broadcast", {}, values);
    arrival.root = root;
    exchange_.meet(group, arrival);
    const bool is_root = group.member(rank()) == root;
    exchange<T>(
        execution, group, [&](int) { return is_root ? VectorView<const T>(values) : VectorView<const T>{}; },
        [&](int member) { return !is_root && member == root ? values : VectorView<T>{}; });
  }

 protected:
  const X& exchanger() const { return exchange_; }
  X& exchanger() { return exchange_; }

 private:
  /// What is added up at a time: bounds the room that it takes, and is long enough for any link.
  static constexpr std::size_t piece_bytes = std::size_t{64} << 20;
  template <class T>
  static constexpr index_t piece_elements = static_cast<index_t>(piece_bytes / sizeof(T));

  template <class T>
  static VectorView<T> run_of(VectorView<T> runs, Counts counts, int member) {
    const auto at = static_cast<std::size_t>(member);
    return {runs.data + sum_of(counts.first(at)), counts[at]};
  }

  /// Sends `to(member)` to each member while `from(member)` is received from it.
  template <class T, class To, class From>
  void exchange(E execution, const Group& group, To&& to, From&& from) {
    std::vector<SentRun> sent;
    std::vector<ReceivedRun> received;
    for (int member = 0; member < group.size; ++member) {
      const VectorView<const T> send = to(member);
      const VectorView<T> receive = from(member);
      sent.push_back({send.data, static_cast<std::size_t>(send.size) * sizeof(T)});
      received.push_back({receive.data, static_cast<std::size_t>(receive.size) * sizeof(T)});
    }
    // What goes to itself and does not come from itself stays.
    const auto me = static_cast<std::size_t>(group.member(rank()));
    if (sent[me].bytes != received[me].bytes) sent[me] = {}, received[me] = {};
    exchange_.exchange(execution, group, sent, received);
  }

  /// How far apart the members' pieces lie: at multiples of what GPUs move at a time.
  template <class T>
  static index_t piece_stride(Counts counts) {
    constexpr index_t alignment = 64;
    const index_t longest = std::min(*std::ranges::max_element(counts), piece_elements<T>);
    return (longest + alignment - 1) / alignment * alignment;
  }
  /// Asked for before the members meet: once they have, they wait for this one's data.
  template <class T>
  static Buffer<T, E> room_for_parts(E execution, Counts counts) {
    return Buffer<T, E>(execution, std::ssize(counts) * piece_stride<T>(counts));
  }

  /// mine = the sum of this member's run of everybody's `all`; may lie at its place in it.
  template <class T>
  void sum_runs(E execution, const Group& group, VectorView<const T> all, Counts counts,
                const Buffer<T, E>& parts, VectorView<T> mine) {
    const index_t stride = piece_stride<T>(counts), longest = *std::ranges::max_element(counts);
    const auto piece_of = [&]<class V>(VectorView<V> run, index_t first) {
      const index_t begin = std::min(first, run.size);
      return VectorView<V>{run.data + begin, std::min(run.size - begin, piece_elements<T>)};
    };
    for (index_t first = 0; first < longest; first += piece_elements<T>) {
      const VectorView<T> sum = piece_of(mine, first);
      exchange<T>(
          execution, group, [&](int member) { return piece_of(run_of(all, counts, member), first); },
          [&](int member) {
            return VectorView<T>{parts.data() + member * stride, sum.size};
          });
      sum_parts<T>(execution, {parts.data(), group.size, sum.size, stride}, sum);
    }
  }

  X exchange_;
};

}  // namespace stepvideo
