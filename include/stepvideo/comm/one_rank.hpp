// The communicator of a run that one rank does alone, on any execution.
#pragma once
#include <type_traits>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/buffer.hpp>

namespace stepvideo {

/// Communicates nothing: what is sent arrives, what is in place stays. For a device include core/device.cuh,
/// which has the copy.
template <Execution E>
class OneRank {
 public:
  using ExecutionType = E;

  int rank() const { return 0; }
  int ranks() const { return 1; }

  template <Summable T>
  void all_reduce(E, const Group& group, VectorView<T>) const {
    require_member("all_reduce", group, 0);
  }
  template <Movable T>
  void all_gather(E execution, const Group& group, std::type_identity_t<VectorView<const T>> mine,
                  Counts counts, VectorView<T> all) const {
    arrive("all_gather", execution, group, mine, counts, all);
  }
  template <Summable T>
  void reduce_scatter(E execution, const Group& group, std::type_identity_t<VectorView<const T>> all,
                      Counts counts, VectorView<T> mine) const {
    arrive("reduce_scatter", execution, group, all, counts, mine);
  }
  template <Movable T>
  void all_to_all(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) const {
    require_counts("all_to_all", "receive", group, receive_counts, receive.size);
    arrive("all_to_all", execution, group, send, send_counts, receive);
  }
  template <Movable T>
  void shift(E execution, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) const {
    const index_t count = send.size;
    arrive("shift", execution, group, send, {&count, 1}, receive);
  }
  template <Movable T>
  void broadcast(E, const Group& group, VectorView<T>, int) const {
    require_member("broadcast", group, 0);
  }

 private:
  template <class T>
  static void arrive(std::string_view op, E execution, const Group& group, VectorView<const T> from,
                     Counts counts, VectorView<T> to) {
    require_member(op, group, 0);
    require_counts(op, "what is sent", group, counts, from.size);
    require_part(op, to.size, from.size);
    if (from.data != to.data) copy(execution, from, to);
  }
};
static_assert(Communicator<OneRank<Host>>);

}  // namespace stepvideo
