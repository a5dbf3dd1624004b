// Where a rank lets others in: who knocks is asked who it is and for the job's token.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <stepvideo/comm/socket.hpp>

namespace stepvideo {

/// What the processes of one job know and a stranger does not.
using JobToken = std::array<char, 32>;

namespace rendezvous_detail {

using Words = std::array<char, 16>;
/// What a listener says first: whoever is not one gets nothing from us.
inline constexpr Words greeting{'s', 't', 'e', 'p', 'v', 'i', 'd', 'e',
                                'o', ' ', 'r', 'a', 'n', 'k', 's', '\n'};

/// What who connects says of itself.
struct Claim {
  enum Kind : std::int32_t { words, data, beats };
  JobToken token = {};
  std::int32_t rank = 0, ranks = 0, kind = words;
  std::int32_t port = 0;  ///< where it listens itself
};
/// The listener's answer. One that does not know the token gets none.
enum class Answer : std::int32_t { welcome, other_number, not_awaited };

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class T>
std::span<std::byte> writable_bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

/// A listener. Whoever knocks is asked for its claim; who makes none, or a wrong one, is sent away, and the
/// others do not wait for it.
class Door {
 public:
  Door(Socket listener, const JobToken& token) : listener_(std::move(listener)), token_(token) {}

  struct Guest {
    Socket socket;
    Claim claim;
  };
  /// A guest with the job's token, where one has come within a while.
  std::optional<Guest> next() {
    std::vector<pollfd> waiting{{listener_.get(), POLLIN, 0}};
    for (const Knock& knock : knocks_) waiting.push_back({knock.socket.get(), POLLIN, 0});
    poll(waiting.data(), waiting.size(), 50);
    while (auto socket = accept_from(listener_)) let_in(std::move(*socket));
    for (auto knock = knocks_.begin(); knock != knocks_.end();) {
      const bool is_open = receive_some(knock->socket, knock->rest);
      const bool is_whole = knock->rest.empty();
      if (is_whole && has_token(knock->claim)) {
        Guest guest{std::move(knock->socket), knock->claim};
        knocks_.erase(knock);
        return guest;
      }
      const bool is_stranger = is_whole || !is_open || SocketClock::now() - knock->came > time_to_claim;
      if (is_stranger) ++strangers_;
      knock = is_stranger ? knocks_.erase(knock) : std::next(knock);
    }
    return {};
  }
  int port() const { return SocketAddress::of_this_end(listener_).port(); }
  /// How many were sent away.
  int strangers() const { return strangers_; }

 private:
  static constexpr auto time_to_claim = std::chrono::seconds(5);
  static constexpr std::size_t most_knocks = 4096;

  struct Knock {
    Socket socket;
    Claim claim = {};
    std::span<std::byte> rest = writable_bytes_of(claim);
    SocketClock::time_point came = SocketClock::now();
  };

  void let_in(Socket socket) {
    auto words = bytes_of(greeting);
    if (!send_some(socket, words)) return;
    knocks_.emplace_back().socket = std::move(socket);
    if (knocks_.size() > most_knocks) knocks_.pop_front(), ++strangers_;
  }
  bool has_token(const Claim& claim) const {
    int difference = 0;  // found in the same time, wherever it is
    for (std::size_t i = 0; i < token_.size(); ++i) difference |= claim.token[i] ^ token_[i];
    return difference == 0;
  }

  Socket listener_;
  JobToken token_;
  std::list<Knock> knocks_;
  int strangers_ = 0;
};

}  // namespace rendezvous_detail

}  // namespace stepvideo
