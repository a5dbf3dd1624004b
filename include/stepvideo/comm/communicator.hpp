// What parallel code asks of ranks that exchange data. The same code runs over host threads, processes, and
// GPUs: a communicator is a template parameter.
#pragma once
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <stepvideo/comm/mesh.hpp>
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/elementwise/sum_parts.hpp>

namespace stepvideo {

/// Elements of each member of a group, in the group's order.
using Counts = std::span<const index_t>;

/// Another rank failed, or ended, or can never come: this one cannot go on. Says which and why.
class RankLost : public Error {
 public:
  using Error::Error;
};

/// What can be moved: any element, bytes, structs.
template <class T>
concept Movable = std::is_trivially_copyable_v<T> && !std::is_const_v<T>;

/// The collectives of one rank. All members of a group call the same collectives of it in the same order,
/// with the same element and with counts that agree. A call may return before the data is there, in the order
/// of `execution`; counts are read before it returns. A group of one rank communicates nothing: what is sent
/// arrives, what is in place stays. Throws RequestError where this rank's arguments disagree with each other,
/// Error where ranks disagree, RankLost where a rank cannot come.
///     all_reduce(execution, group, values): values becomes its sum over the members
///     all_gather(execution, group, mine, counts, all): all = every member's `mine`, counts[member] each;
///     mine
///         may lie at its place in all
///     reduce_scatter(execution, group, all, counts, mine): mine = this member's part of the sum of all
///     all_to_all(execution, group, send, send_counts, receive, receive_counts): send holds a run for each
///         member, receive has a run of each
///     shift(execution, group, send, receive): to the next member, from the one before, round about
///     broadcast(execution, group, values, root): the values of member `root`
/// Sums are float32 for 16-bit elements and rounded once. A result depends on the values and on the group,
/// never on time.
template <class C>
concept Communicator = requires(C& comm, typename C::ExecutionType execution, const Group& group,
                                Counts counts, VectorView<const float> in, VectorView<float> out, int root) {
  { comm.rank() } -> std::same_as<int>;
  { comm.ranks() } -> std::same_as<int>;
  comm.all_reduce(execution, group, out);
  comm.all_gather(execution, group, in, counts, out);
  comm.reduce_scatter(execution, group, in, counts, out);
  comm.all_to_all(execution, group, in, counts, out, counts);
  comm.shift(execution, group, in, out);
  comm.broadcast(execution, group, out, root);
};

/// "ranks 1, 3, 5"
inline std::string to_string(const Group& group) {
  std::string text = group.size == 1 ? "rank " : "ranks ";
  for (int member = 0; member < group.size; ++member)
    text += (member > 0 ? ", " : "") + std::to_string(group.rank(member));
  return text;
}

constexpr index_t sum_of(Counts counts) {
  index_t sum = 0;
  for (const index_t count : counts) sum += count;
  return sum;
}

/// What a collective requires of the calling rank alone, on any communicator.
inline void require_member(std::string_view op, const Group& group, int rank) {
  require(group.contains(rank), [&] {
    return std::string(op) + ": rank " + std::to_string(rank) + " calls it for " + to_string(group) +
           "; a rank calls the collectives of its own groups";
  });
}
inline void require_root(std::string_view op, const Group& group, int root) {
  require(root >= 0 && root < group.size, [&] {
    return std::string(op) + ": there is no member " + std::to_string(root) + " of " + to_string(group) +
           "; members are 0 to " + std::to_string(group.size - 1);
  });
}
/// `counts` are one for each member and add up to the view, and, of a group with `mine`, that is this
/// member's.
inline void require_counts(std::string_view op, const char* name, const Group& group, Counts counts,
                           index_t size) {
  const bool none_below_zero = [&] {
    for (const index_t count : counts)
      if (count < 0) return false;
    return true;
  }();
  require(std::ssize(counts) == group.size && none_below_zero && sum_of(counts) == size, [&] {
    return std::string(op) + ": " + name + " has " + std::to_string(size) + " elements and its " +
           std::to_string(counts.size()) + " counts add up to " + std::to_string(sum_of(counts)) + " for " +
           to_string(group) + "; each member has a count and together they are the view";
  });
}
inline void require_part(std::string_view op, index_t size, index_t count) {
  require(size == count, [&] {
    return std::string(op) + ": this rank's part has " + std::to_string(size) +
           " elements and its count is " + std::to_string(count) + "; they must be equal";
  });
}

}  // namespace stepvideo
