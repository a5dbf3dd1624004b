// Ranks that any launcher started, over TCP: two connections between each two of them, and a third with rank
// 0.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include <stepvideo/comm/rank_wire.hpp>
#include <stepvideo/comm/socket.hpp>

namespace stepvideo {

/// The connections to one rank: what is said, and what is moved, so that words never wait for data; between
/// rank 0 and another signs of life.
struct RankSockets {
  Socket words, data, beats = {};
};

/// A rank whose process ends is seen at once: its connections close.
class SocketWire final : public WorldWire {
 public:
  /// By rank; this rank's own are not open (comm/rendezvous.hpp).
  SocketWire(int rank, std::vector<RankSockets> sockets)
      : WorldWire(static_cast<int>(sockets.size())), rank_(rank) {
    for (RankSockets& of_rank : sockets) {
      beat_ends_.emplace_back().socket = std::move(of_rank.beats);
      peers_.emplace_back().sockets = std::move(of_rank);
    }
    peers_[std::size_t(rank)].is_gone = true;
    largest_message_ = 4096 + 32 * peers_.size();
  }
  SocketWire(const SocketWire&) = delete;
  SocketWire& operator=(const SocketWire&) = delete;
  /// What was posted arrives before the connections end.
  ~SocketWire() override {
    for (const Peer& peer : peers_)
      if (!peer.is_gone) shutdown(peer.sockets.words.get(), SHUT_WR);
    const auto is_over = [&] {
      for (int rank = 0; rank < ranks(); ++rank)
        if (rank != rank_ && !is_gone(rank)) return false;
      return true;
    };
    for (const auto begin = SocketClock::now();
         !is_over() && SocketClock::now() - begin < std::chrono::seconds(1);)
      pause();
  }

  int rank() const override { return rank_; }
  int ranks() const override { return static_cast<int>(peers_.size()); }

  void post(int rank, Channel channel, std::span<const std::byte> message) override {
    Peer& peer = peer_of(rank);
    const Head head{static_cast<std::uint32_t>(message.size()), static_cast<std::uint32_t>(channel)};
    const auto head_bytes = std::as_bytes(std::span(&head, 1));
    peer.outgoing.insert(peer.outgoing.end(), head_bytes.begin(), head_bytes.end());
    peer.outgoing.insert(peer.outgoing.end(), message.begin(), message.end());
    flush(peer);
  }
  std::optional<Message> take(int rank, Channel channel) override {
    Peer& peer = peer_of(rank);
    auto& messages = peer.messages[std::size_t(channel)];
    if (messages.empty()) drain(peer);
    if (messages.empty()) return {};
    Message message = std::move(messages.front());
    messages.pop_front();
    return message;
  }
  bool is_posted() override {
    for (Peer& peer : peers_) flush(peer);
    return std::ranges::all_of(peers_, [](const Peer& peer) { return peer.outgoing.empty(); });
  }

  void begin_send(int rank, std::span<const std::byte> bytes) override {
    peer_of(rank).sends.push_back(bytes);
  }
  void begin_receive(int rank, std::span<std::byte> bytes) override {
    peer_of(rank).receives.push_back(bytes);
  }
  bool is_moved() override {
    bool is_all = true;
    for (Peer& peer : peers_) {
      move_some(peer, peer.sends, send_some);
      move_some(peer, peer.receives, receive_some);
      is_all = is_all && !peer.moves();
    }
    return is_all;
  }
  void drop_moves() override {
    for (Peer& peer : peers_) peer.sends.clear(), peer.receives.clear();
  }

  void pause() override {
    std::vector<pollfd> waiting;
    for (const Peer& peer : peers_) {
      if (peer.is_gone) continue;
      waiting.push_back({peer.sockets.words.get(), events(true, !peer.outgoing.empty()), 0});
      if (peer.moves() && !peer.data_ended)
        waiting.push_back({peer.sockets.data.get(), events(!peer.receives.empty(), !peer.sends.empty()), 0});
    }
    poll(waiting.data(), waiting.size(), longest_pause_milliseconds);
    for (Peer& peer : peers_) flush(peer), drain(peer);
  }
  bool is_gone(int rank) const override {
    return rank != rank_ && (peers_[std::size_t(rank)].is_gone || losses_.has(rank));
  }

  bool send_beat(int rank, const Beat& beat) override {
    BeatEnd& end = beat_ends_[std::size_t(rank)];
    if (end.unsent.empty()) {  // else the rank takes nothing, and has enough
      end.outgoing = beat;
      end.unsent = std::as_bytes(std::span(&end.outgoing, 1));
    }
    return end.socket.is_open() && send_some(end.socket, end.unsent);
  }
  bool take_beat(int rank, std::optional<Beat>& beat) override {
    BeatEnd& end = beat_ends_[std::size_t(rank)];
    if (end.missing.empty()) end.missing = std::as_writable_bytes(std::span(&end.incoming, 1));
    const bool is_open = end.socket.is_open() && receive_some(end.socket, end.missing);
    beat = end.missing.empty() ? std::optional(end.incoming) : std::nullopt;
    return is_open;
  }

  bool outlives_ranks() const override { return true; }
  [[noreturn]] void abort() override { std::_Exit(1); }

 private:
  static constexpr int longest_pause_milliseconds = 20;

  /// Goes before each message.
  struct Head {
    std::uint32_t bytes = 0, channel = 0;
  };
  struct Peer {
    RankSockets sockets;
    Message outgoing;                             ///< has not left yet
    Message incoming;                             ///< the begin of a message
    std::array<std::deque<Message>, 2> messages;  ///< by channel, not taken yet
    std::deque<std::span<const std::byte>> sends;
    std::deque<std::span<std::byte>> receives;
    bool is_gone = false;     ///< the connection of words has ended
    bool data_ended = false;  ///< and that of data

    bool moves() const { return !sends.empty() || !receives.empty(); }
  };

  /// Of the connection of beats, which has a thread of its own.
  struct BeatEnd {
    Socket socket;
    Beat outgoing, incoming;
    std::span<const std::byte> unsent;
    std::span<std::byte> missing;
  };

  Peer& peer_of(int rank) { return peers_[std::size_t(rank)]; }
  static short events(bool in, bool out) {
    return static_cast<short>((in ? POLLIN : 0) | (out ? POLLOUT : 0));
  }

  static void flush(Peer& peer) {
    if (peer.outgoing.empty()) return;
    std::span<const std::byte> rest = peer.outgoing;
    const bool is_open = !peer.is_gone && send_some(peer.sockets.words, rest);
    peer.outgoing.erase(peer.outgoing.begin(),
                        is_open ? peer.outgoing.end() - std::ssize(rest) : peer.outgoing.end());
  }

  /// Takes in what has come.
  void drain(Peer& peer) {
    while (!peer.is_gone) {
      std::array<std::byte, 16384> chunk;
      std::span<std::byte> rest = chunk;
      peer.is_gone = !receive_some(peer.sockets.words, rest);
      const auto received = std::span(chunk).first(chunk.size() - rest.size());
      peer.incoming.insert(peer.incoming.end(), received.begin(), received.end());
      split(peer);
      if (!rest.empty()) return;
    }
  }
  void split(Peer& peer) {
    std::span<const std::byte> rest = peer.incoming;
    while (rest.size() >= sizeof(Head)) {
      Head head;
      std::memcpy(&head, rest.data(), sizeof head);
      if (head.bytes > largest_message_ || head.channel >= peer.messages.size()) {
        peer.is_gone = true;  // nothing that comes after it can be understood
        break;
      }
      if (rest.size() < sizeof head + head.bytes) break;
      const auto message = rest.subspan(sizeof head, head.bytes);
      peer.messages[head.channel].emplace_back(message.begin(), message.end());
      rest = rest.subspan(sizeof head + head.bytes);
    }
    peer.incoming.erase(peer.incoming.begin(), peer.incoming.end() - std::ssize(rest));
  }

  template <class Span, class Some>
  static void move_some(Peer& peer, std::deque<Span>& spans, Some&& some) {
    while (!spans.empty() && !peer.data_ended) {
      peer.data_ended = !some(peer.sockets.data, spans.front());
      if (!spans.front().empty()) return;
      spans.pop_front();
    }
  }

  int rank_;
  std::size_t largest_message_ = 0;
  std::vector<Peer> peers_;         ///< by rank
  std::vector<BeatEnd> beat_ends_;  ///< by rank
};

}  // namespace stepvideo
