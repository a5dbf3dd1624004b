// How processes tell each other which collective they call, that they failed, or that they are done: small
// messages between pairs of ranks, in order. Include it where MPI is found; nothing else includes it.
#pragma once
#define OMPI_SKIP_MPICXX 1
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>

#include <stepvideo/comm/agreement.hpp>

namespace stepvideo {

/// One rank's messages to and from the others. A message says what the rank calls next; the last says how it
/// ended, and no rank waits for one behind it.
class MpiMessages {
 public:
  explicit MpiMessages(MPI_Comm world) {
    MPI_Comm_dup(world, &world_);
    MPI_Comm_rank(world_, &rank_);
    MPI_Comm_size(world_, &ranks_);
    ended_.resize(std::size_t(ranks_));
  }
  MpiMessages(const MpiMessages&) = delete;
  MpiMessages& operator=(const MpiMessages&) = delete;
  ~MpiMessages() { MPI_Comm_free(&world_); }

  /// Called again and again while this rank waits for others, with their ranks. It does not throw: others may
  /// still read this rank's memory.
  void set_while_waiting(std::function<void(std::span<const int> others)> call) {
    while_waiting_ = std::move(call);
  }

  /// Waits until all requests are complete, asleep between looks: a rank that waits leaves its core to
  /// others. `others` are the ranks that it waits for.
  void wait_for(std::span<MPI_Request> requests, std::span<const int> others) const {
    auto pause = std::chrono::microseconds(1);
    for (int done = 0;;) {
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
      if (done) return;
      if (while_waiting_) while_waiting_(others);
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::microseconds(500));
    }
  }

  MPI_Comm world() const { return world_; }
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

  /// Exchanges arrivals with all members of the group and requires that they agree. Throws RankLost where a
  /// member failed or ended, and as require_agreement.
  void meet(const Group& group, const Arrival& arrival) {
    send(group, encode(group, arrival));
    std::vector<std::vector<long long>> messages(std::size_t(group.size));
    std::vector<Arrival> arrivals(std::size_t(group.size));
    std::vector<std::vector<index_t>> counts(2 * std::size_t(group.size));
    for (int member = 0; member < group.size; ++member) {
      const auto at = std::size_t(member);
      const int other = group.rank(member);
      if (other == rank_) {
        arrivals[at] = arrival;
        continue;
      }
      messages[at] = receive(other);
      if (ended_[std::size_t(other)]) throw_lost(other, arrival.op, group);
      require_same_group(group, arrival, other, messages[at]);
      arrivals[at] = decode(messages[at], counts[2 * at], counts[2 * at + 1]);
    }
    require_agreement(group, arrivals);
  }

  /// The last message: `failure` is why the rank ends, or empty. Returns when all ranks have sent theirs,
  /// with the first failure there was, of the lowest rank.
  std::string end(const std::string& failure) {
    // Who ended because another failed passes that other's reason on.
    const std::string reason =
        failure.empty() || !lost_.empty() ? lost_ : "rank " + std::to_string(rank_) + " failed: " + failure;
    std::vector<long long> message(header_fields, 0);
    message[kind_field] = reason.empty() ? done_kind : failed_kind;
    const std::size_t characters = std::min<std::size_t>(reason.size(), largest_text);
    message.resize(header_fields + (characters + sizeof(long long) - 1) / sizeof(long long), 0);
    if (characters > 0) std::memcpy(message.data() + header_fields, reason.data(), characters);
    message[size_field] = static_cast<long long>(characters);
    while_waiting_ = {};  // nobody is late who has other work to end
    send(Group{0, 1, ranks_}, message);
    for (int other = 0; other < ranks_; ++other)
      while (other != rank_ && !ended_[std::size_t(other)]) receive(other);
    auto sends = sends_of_all();
    wait_for(sends, {});
    pending_.clear();
    if (!reason.empty()) return reason;
    for (const auto& ending : ended_)
      if (ending && !ending->empty()) return *ending;
    return {};
  }

 private:
  static constexpr int tag = 1;
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
  struct Pending {
    std::vector<long long> message;
    std::vector<MPI_Request> requests;
  };

  static std::vector<long long> encode(const Group& group, const Arrival& arrival) {
    std::vector<long long> message(header_fields, 0);
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
  static Arrival decode(const std::vector<long long>& message, std::vector<index_t>& send_counts,
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
  static std::string_view op_of(const std::vector<long long>& message) {
    const char* const text = reinterpret_cast<const char*>(&message[op_field]);
    return {text, strnlen(text, 16)};
  }
  static Group group_of(const std::vector<long long>& message) {
    return {static_cast<int>(message[first_field]), static_cast<int>(message[stride_field]),
            static_cast<int>(message[size_field])};
  }

  void require_same_group(const Group& group, const Arrival& arrival, int other,
                          const std::vector<long long>& message) const {
    if (group_of(message) == group) return;
    throw Error("rank " + std::to_string(rank_) + " calls " + std::string(arrival.op) + " of " +
                to_string(group) + " and rank " + std::to_string(other) + " " + std::string(op_of(message)) +
                " of " + to_string(group_of(message)) +
                "; members call the same collectives in the same order");
  }

  /// To all other members; does not wait.
  void send(const Group& group, std::vector<long long> message) {
    std::erase_if(pending_, [](const std::unique_ptr<Pending>& sent) {
      int done = 0;
      MPI_Testall(static_cast<int>(sent->requests.size()), sent->requests.data(), &done, MPI_STATUSES_IGNORE);
      return done != 0;
    });
    auto& sent = *pending_.emplace_back(std::make_unique<Pending>());
    sent.message = std::move(message);
    for (int member = 0; member < group.size; ++member)
      if (group.rank(member) != rank_)
        MPI_Isend(sent.message.data(), static_cast<int>(sent.message.size()), MPI_LONG_LONG,
                  group.rank(member), tag, world_, &sent.requests.emplace_back());
  }
  std::vector<MPI_Request> sends_of_all() const {
    std::vector<MPI_Request> all;
    for (const auto& sent : pending_) all.insert(all.end(), sent->requests.begin(), sent->requests.end());
    return all;
  }

  /// The next message of a rank; notes it where it is the rank's last.
  std::vector<long long> receive(int other) {
    if (ended_[std::size_t(other)]) return {};
    std::vector<long long> message(header_fields +
                                   std::max(2 * std::size_t(ranks_), largest_text / sizeof(long long) + 1));
    MPI_Request request;
    MPI_Irecv(message.data(), static_cast<int>(message.size()), MPI_LONG_LONG, other, tag, world_, &request);
    MPI_Status status;
    auto pause = std::chrono::microseconds(1);
    for (int done = 0; MPI_Test(&request, &done, &status), !done;) {
      if (while_waiting_) while_waiting_({&other, 1});
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::microseconds(500));
    }
    int count = 0;
    MPI_Get_count(&status, MPI_LONG_LONG, &count);
    message.resize(static_cast<std::size_t>(count));
    if (message[kind_field] != call_kind)
      ended_[std::size_t(other)] = std::string(reinterpret_cast<const char*>(message.data() + header_fields),
                                               static_cast<std::size_t>(message[size_field]));
    return message;
  }

  [[noreturn]] void throw_lost(int other, std::string_view op, const Group& group) {
    const std::string& ending = *ended_[std::size_t(other)];
    lost_ = !ending.empty() ? ending
                            : "rank " + std::to_string(other) + " ended without entering " + std::string(op) +
                                  " of " + to_string(group);
    throw RankLost(lost_ + "; rank " + std::to_string(rank_) + " left " + std::string(op) + " of " +
                   to_string(group));
  }

  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0, ranks_ = 1;
  std::vector<std::unique_ptr<Pending>> pending_;  ///< messages that may not have left yet
  std::vector<std::optional<std::string>> ended_;  ///< by rank: why it ended, empty where all went well
  std::function<void(std::span<const int>)> while_waiting_;
  std::string lost_;  ///< why this rank cannot go on, where another is the reason
};

}  // namespace stepvideo
