// How processes tell each other which collective they call, that they failed, or that they are done: small
// messages between pairs of ranks, in order.
#pragma once
#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/comm/agreement.hpp>
#include <stepvideo/comm/rank_wire.hpp>

namespace stepvideo {

/// One rank's messages to and from the others. A message says what the rank calls next; the last says how it
/// ended, and no rank waits for one behind it.
class ProcessMessages {
 public:
  /// The wire outlives this.
  explicit ProcessMessages(RankWire& wire)
      : wire_(wire), ended_(std::size_t(wire.ranks())), vanished_(ended_.size()), early_(ended_.size()) {}
  ProcessMessages(const ProcessMessages&) = delete;
  ProcessMessages& operator=(const ProcessMessages&) = delete;

  RankWire& wire() const { return wire_; }
  int rank() const { return wire_.rank(); }
  int ranks() const { return wire_.ranks(); }

  /// Called again and again while this rank waits for others, with their ranks. It does not throw: others may
  /// still read this rank's memory.
  void set_while_waiting(std::function<void(std::span<const int> others)> call) {
    while_waiting_ = std::move(call);
  }

  /// Exchanges arrivals with all members of the group and requires that they agree. Returns whether they
  /// are_even(). Throws RankLost where a member failed or ended, or any rank is gone, and as
  /// require_agreement.
  bool meet(const Group& group, const Arrival& arrival) {
    where_ = std::string(arrival.op) + " of " + to_string(group);
    send(group, encode(group, arrival));
    std::vector<Words> messages(std::size_t(group.size));
    std::vector<Arrival> arrivals(std::size_t(group.size));
    std::vector<std::vector<index_t>> counts(2 * std::size_t(group.size));
    for (int member = 0; member < group.size; ++member) {
      const auto at = std::size_t(member);
      const int other = group.rank(member);
      if (other == rank()) {
        arrivals[at] = arrival;
        continue;
      }
      wait_for({&other, 1}, [&] { return ended_[std::size_t(other)] || take(other, messages[at]); });
      if (const auto& ending = ended_[std::size_t(other)])
        throw_lost(!ending->empty() ? *ending
                                    : "rank " + std::to_string(other) + " ended without entering " + where_);
      require_same_group(group, arrival, other, messages[at]);
      arrivals[at] = decode(messages[at], counts[2 * at], counts[2 * at + 1]);
    }
    require_agreement(group, arrivals);
    return are_even(arrivals);
  }

  /// Throws RankLost where another rank is known to have failed or to be gone; for while this one waits for
  /// something else than messages. A call that has come stays.
  void require_all_well() {
    std::vector<int> others;
    for (int other = 0; other < ranks(); ++other)
      if (other != rank()) others.push_back(other);
    if (while_waiting_) while_waiting_(others);
    for (const int other : others) {
      Words message;
      while (!ended_[std::size_t(other)] && receive(other, message))
        if (!ended_[std::size_t(other)]) early_[std::size_t(other)].push_back(std::move(message));
      if (wire_.is_gone(other)) has_ended(other);
      if (const auto& ending = ended_[std::size_t(other)]; ending && !ending->empty()) throw_lost(*ending);
    }
  }

  /// Waits until all that the wire was to move is there. `others` are the ranks that it comes from and goes
  /// to. Throws RankLost where any rank is gone.
  void move(std::span<const int> others) {
    try {
      wait_for(others, [&] { return wire_.is_moved(); });
    } catch (...) {
      wire_.drop_moves();
      throw;
    }
  }

  /// The last message: `failure` is why the rank ends, or empty. Returns when all ranks have sent theirs,
  /// with the first failure there was, of the lowest rank.
  std::string end(const std::string& failure) {
    // Who ended because another failed passes that other's reason on.
    const std::string reason =
        failure.empty() || !lost_.empty() ? lost_ : "rank " + std::to_string(rank()) + " failed: " + failure;
    Words message(header_fields, 0);
    message[kind_field] = reason.empty() ? done_kind : failed_kind;
    const std::size_t characters = std::min<std::size_t>(reason.size(), largest_text);
    message.resize(header_fields + (characters + sizeof(long long) - 1) / sizeof(long long), 0);
    if (characters > 0) std::memcpy(message.data() + header_fields, reason.data(), characters);
    message[size_field] = static_cast<long long>(characters);
    send(Group{0, 1, ranks()}, message);
    for (int other = 0; other < ranks(); ++other)
      while (other != rank() && !has_ended(other)) wire_.pause();
    while (!wire_.is_posted()) wire_.pause();
    if (!reason.empty()) return reason;
    for (const auto& ending : ended_)
      if (ending && !ending->empty()) return *ending;
    return {};
  }

  /// The lowest rank of those that have not ended without a last message.
  int first_left() const { return static_cast<int>(std::ranges::find(vanished_, false) - vanished_.begin()); }

 private:
  using Words = std::vector<long long>;
  static constexpr std::size_t largest_text = 2000;
  enum Kind : long long { call_kind, done_kind, failed_kind };
  enum Field : std::size_t {
    kind_field,
    op_field,  // its first 16 characters
    op_end_field = op_field + 2,
    first_field = op_end_field,
    stride_field,
    size_field,  // of the group; of the text
    element_field,
    send_field,
    receive_field,
    root_field,
    send_counts_field,  // how many follow
    receive_counts_field,
    header_fields
  };

  static Words encode(const Group& group, const Arrival& arrival) {
    Words message(header_fields, 0);
    std::memcpy(&message[op_field], arrival.op.data(), std::min<std::size_t>(arrival.op.size(), 16));
    message[first_field] = group.first, message[stride_field] = group.stride,
    message[size_field] = group.size;
    message[element_field] = static_cast<long long>(arrival.element_bytes);
    message[send_field] = arrival.send_size, message[receive_field] = arrival.receive_size;
    message[root_field] = arrival.root;
    message[send_counts_field] = std::ssize(arrival.send_counts);
    message[receive_counts_field] = std::ssize(arrival.receive_counts);
    message.insert(message.end(), arrival.send_counts.begin(), arrival.send_counts.end());
    message.insert(message.end(), arrival.receive_counts.begin(), arrival.receive_counts.end());
    return message;
  }
  /// The arrival looks into the message and the counts.
  static Arrival decode(const Words& message, std::vector<index_t>& send_counts,
                        std::vector<index_t>& receive_counts) {
    const auto counts = message.begin() + header_fields;
    send_counts.assign(counts, counts + message[send_counts_field]);
    receive_counts.assign(counts + message[send_counts_field], message.end());
    return {.op = op_of(message),
            .element_bytes = static_cast<std::size_t>(message[element_field]),
            .send_size = message[send_field],
            .receive_size = message[receive_field],
            .send_counts = send_counts,
            .receive_counts = receive_counts,
            .root = static_cast<int>(message[root_field])};
  }
  static std::string_view op_of(const Words& message) {
    const char* const text = reinterpret_cast<const char*>(&message[op_field]);
    return {text, strnlen(text, 16)};
  }
  static Group group_of(const Words& message) {
    return {static_cast<int>(message[first_field]), static_cast<int>(message[stride_field]),
            static_cast<int>(message[size_field])};
  }

  void require_same_group(const Group& group, const Arrival& arrival, int other, const Words& message) const {
    if (group_of(message) == group) return;
    throw Error("rank " + std::to_string(rank()) + " calls " + std::string(arrival.op) + " of " +
                to_string(group) + " and rank " + std::to_string(other) + " " + std::string(op_of(message)) +
                " of " + to_string(group_of(message)) +
                "; members call the same collectives in the same order");
  }

  /// To all other members; does not wait.
  void send(const Group& group, const Words& message) {
    for (int member = 0; member < group.size; ++member)
      if (group.rank(member) != rank())
        wire_.post(group.rank(member), RankWire::Channel::calls, std::as_bytes(std::span(message)));
  }

  /// The next message of a rank, where one has come; notes it where it is the rank's last.
  bool take(int other, Words& message) {
    auto& early = early_[std::size_t(other)];
    if (early.empty()) return receive(other, message);
    message = std::move(early.front());
    early.pop_front();
    return true;
  }
  bool receive(int other, Words& message) {
    const auto bytes = wire_.take(other, RankWire::Channel::calls);
    if (!bytes) return false;
    message.assign(bytes->size() / sizeof(long long), 0);
    std::memcpy(message.data(), bytes->data(), message.size() * sizeof(long long));
    if (!is_whole(message))
      throw Error("rank " + std::to_string(other) + " sent a message of " + std::to_string(bytes->size()) +
                  " bytes that says nothing; all ranks must run the same program");
    if (message[kind_field] != call_kind)
      ended_[std::size_t(other)] = std::string(reinterpret_cast<const char*>(message.data() + header_fields),
                                               static_cast<std::size_t>(message[size_field]));
    return true;
  }
  static bool is_whole(const Words& message) {
    if (message.size() < header_fields) return false;
    const auto rest = static_cast<long long>(message.size() - header_fields);
    const auto is_within = [&](Field field, long long most) {
      return message[field] >= 0 && message[field] <= most;
    };
    if (message[kind_field] != call_kind)
      return is_within(size_field, rest * static_cast<long long>(sizeof(long long)));
    return is_within(send_counts_field, rest) && is_within(receive_counts_field, rest) &&
           message[send_counts_field] + message[receive_counts_field] == rest;
  }

  /// Whether a rank's last message has come, or none can: then its ending is noted. What comes before is
  /// dropped.
  bool has_ended(int other) {
    auto& ending = ended_[std::size_t(other)];
    const bool is_gone = wire_.is_gone(other);
    for (Words message; !ending && take(other, message);) continue;
    if (!ending && is_gone) {
      ending = "rank " + std::to_string(other) + " " + wire_.why_gone(other);
      vanished_[std::size_t(other)] = true;
    }
    return ending.has_value();
  }

  /// Waits for the others to do something. Throws RankLost where a rank is gone: none can go on without it.
  template <class IsDone>
  void wait_for(std::span<const int> others, IsDone&& is_done) {
    while (!is_done()) {
      if (while_waiting_) while_waiting_(others);
      for (int other = 0; other < ranks(); ++other)
        if (wire_.is_gone(other) && has_ended(other) && !ended_[std::size_t(other)]->empty())
          throw_lost(*ended_[std::size_t(other)]);
      wire_.pause();
    }
  }

  [[noreturn]] void throw_lost(const std::string& reason) {
    lost_ = reason;
    throw RankLost(lost_ + "; rank " + std::to_string(rank()) + " left " + where_);
  }

  RankWire& wire_;
  std::vector<std::optional<std::string>> ended_;  ///< by rank: why it ended, empty where all went well
  std::vector<bool> vanished_;                     ///< by rank: it ended without a last message
  std::vector<std::deque<Words>> early_;           ///< by rank: calls that came before this rank's own
  std::function<void(std::span<const int>)> while_waiting_;
  std::string where_;  ///< the collective that this rank is in
  std::string lost_;   ///< why this rank cannot go on, where another is the reason
};

}  // namespace stepvideo
