// What members of a group tell each other about the collective they call, and the rule that they agree.
#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include <stepvideo/comm/communicator.hpp>

namespace stepvideo {

/// What a rank brings into a collective. Its memory stays readable until all members have left.
struct Arrival {
  std::string_view op;
  std::size_t element_bytes = 0;
  const void* send = nullptr;
  void* receive = nullptr;
  index_t send_size = 0, receive_size = 0;  ///< elements
  Counts send_counts = {}, receive_counts = {};
  int root = 0;

  template <class T>
  static Arrival of(std::string_view op, VectorView<const T> send, VectorView<T> receive,
                    Counts send_counts = {}, Counts receive_counts = {}) {
    return {.op = op,
            .element_bytes = sizeof(T),
            .send = send.data,
            .receive = receive.data,
            .send_size = send.size,
            .receive_size = receive.size,
            .send_counts = send_counts,
            .receive_counts = receive_counts};
  }
};

namespace agreement_detail {

inline std::string name(const Group& group, int member) {
  return "rank " + std::to_string(group.rank(member));
}

/// `a` and `b` are members; each does what it does with so many elements.
inline void require_equal(std::string_view op, const Group& group, int a, const std::string& a_does,
                          index_t a_count, int b, const std::string& b_does, index_t b_count) {
  if (a_count == b_count) return;
  throw Error(std::string(op) + " of " + to_string(group) + ": " + name(group, a) + " " + a_does + " " +
              std::to_string(a_count) + " elements and " + name(group, b) + " " + b_does + " " +
              std::to_string(b_count) + "; they must agree");
}

inline void require_same_call(const Group& group, const Arrival& first, int member, const Arrival& other) {
  const std::string call = name(group, 0) + " calls " + std::string(first.op) + " of " + to_string(group);
  if (first.op != other.op)
    throw Error(call + " and " + name(group, member) + " " + std::string(other.op) +
                "; members call the same collectives in the same order");
  const auto differ = [&](const char* what, long long a, long long b) {
    if (a == b) return;
    throw Error(call + " with " + what + " " + std::to_string(a) + " and " + name(group, member) + " with " +
                std::to_string(b) + "; they must agree");
  };
  differ("elements of bytes", static_cast<long long>(first.element_bytes),
         static_cast<long long>(other.element_bytes));
  differ("root", first.root, other.root);
}

}  // namespace agreement_detail

/// Throws Error, the same on every member, naming two ranks, the field and both values, where members call
/// different collectives or count differently. `arrivals` by member.
inline void require_agreement(const Group& group, std::span<const Arrival> arrivals) {
  using namespace agreement_detail;
  const std::string_view op = arrivals[0].op;
  const auto at = [&](int member) -> const Arrival& { return arrivals[static_cast<std::size_t>(member)]; };
  for (int member = 1; member < group.size; ++member) require_same_call(group, at(0), member, at(member));
  for (int a = 0; a < group.size; ++a) {
    if (op == "all_reduce" || op == "broadcast")
      require_equal(op, group, 0, "has", at(0).receive_size, a, "has", at(a).receive_size);
    if (op == "shift") {
      const int next = (a + 1) % group.size;
      require_equal(op, group, a, "sends", at(a).send_size, next, "receives", at(next).receive_size);
    }
    for (int b = 0; b < group.size; ++b) {
      const auto of_a = static_cast<std::size_t>(a), of_b = static_cast<std::size_t>(b);
      if (op == "all_gather" || op == "reduce_scatter")
        require_equal(op, group, 0, "counts for member " + std::to_string(b), at(0).send_counts[of_b], a,
                      "counts", at(a).send_counts[of_b]);
      if (op == "all_to_all")
        require_equal(op, group, a, "sends", at(a).send_counts[of_b], b, "expects",
                      at(b).receive_counts[of_a]);
    }
  }
}

/// Whether what all members send each other, and themselves, has one size.
inline bool are_even(std::span<const Arrival> arrivals) {
  if (arrivals[0].op != "all_to_all") return false;
  const index_t count = arrivals[0].send_counts[0];
  return std::ranges::all_of(arrivals, [&](const Arrival& arrival) {
    return std::ranges::all_of(arrival.send_counts, [&](index_t other) { return other == count; });
  });
}

}  // namespace stepvideo
