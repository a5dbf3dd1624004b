// How processes that know rank 0's address find each other: each two of them are connected, and nobody
// listens any more.
#pragma once
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/door.hpp>
#include <stepvideo/comm/socket_wire.hpp>

namespace stepvideo {

/// One rank of a job, and where rank 0 is found.
struct Rendezvous {
  int rank = 0, ranks = 1;
  std::string host = {};        ///< rank 0's, by a name or number that reaches it
  int first_port = 0;           ///< rank 0 takes the first that is free of this one and those behind it
  bool is_on_one_host = false;  ///< all ranks are
  JobToken token = {};
  std::chrono::milliseconds patience = std::chrono::seconds(60);

  static constexpr int ports = 8;
};

namespace rendezvous_detail {

/// Where a rank listens; rank 0 tells the others.
struct Place {
  char host[60] = {};
  std::int32_t port = 0;
};

/// A rank on its way to the others.
class Arriving {
 public:
  explicit Arriving(const Rendezvous& job)
      : job_(job), deadline_(SocketClock::now() + job.patience), sockets_(std::size_t(job.ranks)) {}

  std::vector<RankSockets> meet() {
    if (job_.rank == 0)
      receive_all_ranks();
    else
      go_to_rank_0();
    return std::move(sockets_);
  }

 private:
  std::string named(int rank) const { return "rank " + std::to_string(rank); }
  std::string patience() const {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(job_.patience).count()) + " s";
  }
  std::string whereabouts() const {
    return job_.host + ", ports " + std::to_string(job_.first_port) + " to " +
           std::to_string(job_.first_port + Rendezvous::ports - 1);
  }
  SocketClock::time_point soon() const {
    return std::min(deadline_, SocketClock::now() + std::chrono::seconds(2));
  }

  /// The addresses of rank 0's host.
  std::vector<SocketAddress> rank_0() const { return SocketAddress::of(job_.host, job_.first_port); }

  // Rank 0: lets the others in and tells each where those before it listen.
  void receive_all_ranks() {
    Door door(listen(), job_.token);
    std::vector<Place> places(std::size_t(job_.ranks));
    await(door, 1, [&](int rank, const Socket& words, int port) {
      Place& place = places[std::size_t(rank)];
      SocketAddress::of_other_end(words).host().copy(place.host, sizeof place.host - 1);
      place.port = port;
    });
    for (int rank = 1; rank < job_.ranks; ++rank) tell(rank, std::as_bytes(std::span(places)));
  }
  Socket listen() const {
    for (const SocketAddress& address : rank_0()) {
      if (address.is_loopback() && !job_.is_on_one_host)
        throw Error("rank 0 finds " + job_.host + " at " + address.host() +
                    ", where ranks of other hosts cannot reach it; MASTER_ADDR must be its address for all, "
                    "or LOCAL_WORLD_SIZE say that all are on this one");
      for (int port = job_.first_port; port < job_.first_port + Rendezvous::ports; ++port)
        if (auto listener = listen_on(address.at_port(port))) return std::move(*listener);
    }
    throw Error("rank 0 cannot listen at " + whereabouts() + ": " + std::strerror(errno) +
                "; MASTER_ADDR must be an address of its host and MASTER_PORT near a free port");
  }
  /// A message of rank 0's: how many bytes, then these.
  void tell(int rank, std::span<const std::byte> bytes) {
    const std::int64_t size = std::ssize(bytes);
    const Socket& words = sockets_[std::size_t(rank)].words;
    if (!send_all(words, bytes_of(size), soon()) || !send_all(words, bytes, soon()))
      throw RankLost(named(rank) + " came and is gone");
  }

  /// Lets in the ranks from `first` on, each of which makes all of its connections.
  template <class OnRank>
  void await(Door& door, int first, OnRank&& on_rank) {
    const auto is_there = [&](int rank) {
      const RankSockets& of_rank = sockets_[std::size_t(rank)];
      return of_rank.words.is_open() && of_rank.data.is_open() && (job_.rank != 0 || of_rank.beats.is_open());
    };
    int missing = job_.ranks - first;
    while (missing > 0) {
      require_nobody_gone();
      if (SocketClock::now() > deadline_) report_missing(door, first, is_there);
      auto guest = door.next();
      if (!guest) continue;
      const Claim& claim = guest->claim;
      const bool is_known = claim.ranks == job_.ranks && claim.rank >= first && claim.rank < job_.ranks;
      Socket* const socket = is_known ? socket_of(sockets_[std::size_t(claim.rank)], claim.kind) : nullptr;
      const Answer answer = claim.ranks != job_.ranks                ? Answer::other_number
                            : socket == nullptr || socket->is_open() ? Answer::not_awaited
                                                                     : Answer::welcome;
      if (!send_all(guest->socket, bytes_of(answer), soon()) || answer != Answer::welcome) continue;
      *socket = std::move(guest->socket);
      if (claim.kind == Claim::words) on_rank(claim.rank, *socket, claim.port);
      if (is_there(claim.rank)) --missing;
    }
  }
  /// nullptr for a kind that this rank has not.
  Socket* socket_of(RankSockets& of_rank, std::int32_t kind) const {
    switch (kind) {
      case Claim::words:
        return &of_rank.words;
      case Claim::data:
        return &of_rank.data;
      case Claim::beats:
        return job_.rank == 0 ? &of_rank.beats : nullptr;
      default:
        return nullptr;
    }
  }
  template <class IsThere>
  [[noreturn]] void report_missing(const Door& door, int first, IsThere&& is_there) {
    std::string list;
    int missing = 0;
    for (int rank = first; rank < job_.ranks; ++rank)
      if (!is_there(rank)) list += (missing++ > 0 ? ", " : "") + std::to_string(rank);
    std::string sentence = (missing > 1 ? "ranks " : "rank ") + list + " of " + std::to_string(job_.ranks) +
                           " did not come to rank " + std::to_string(job_.rank) + " within " + patience();
    if (door.strangers() > 0)
      sentence +=
          " (" + std::to_string(door.strangers()) + " connections without this job's token were refused)";
    sentence += "; all of them must be started, and reach " + whereabouts();
    throw Error(sentence);
  }
  void require_nobody_gone() const {
    for (int rank = 0; rank < job_.ranks; ++rank)
      if (const Socket& words = sockets_[std::size_t(rank)].words; words.is_open() && is_closed(words))
        throw RankLost(named(rank) + " is gone: its process ended before all ranks had come");
  }

  // Another rank: is let in by those before it, and lets those behind it in.
  void go_to_rank_0() {
    RankSockets& rank_0 = sockets_[0];
    SocketAddress found;
    std::optional<Door> door;
    std::string failure = "nothing listens there";
    while (!rank_0.words.is_open()) {
      if (SocketClock::now() > deadline_)
        throw Error("rank " + std::to_string(job_.rank) + " did not reach rank 0 at " + whereabouts() +
                    " within " + patience() + ": " + failure);
      for (const SocketAddress& address : addresses_of_rank_0(failure))
        for (int port = job_.first_port; port < job_.first_port + Rendezvous::ports; ++port)
          if (!rank_0.words.is_open()) try_rank_0(address.at_port(port), found, door, failure);
      if (!rank_0.words.is_open()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    rank_0.data = enter(0, found, Claim::data);
    rank_0.beats = enter(0, found, Claim::beats);
    const auto places = hear_places();
    deadline_ = SocketClock::now() + job_.patience;  // all are there: only the connections are to be made
    for (int rank = 1; rank < job_.rank; ++rank) {
      const Place& place = places[std::size_t(rank)];
      const SocketAddress address = SocketAddress::of(place.host, place.port).front();
      sockets_[std::size_t(rank)].words = enter(rank, address, Claim::words);
      sockets_[std::size_t(rank)].data = enter(rank, address, Claim::data);
    }
    await(*door, job_.rank + 1, [](int, const Socket&, int) {});
  }
  /// None, and why, while the name of its host is not known yet.
  std::vector<SocketAddress> addresses_of_rank_0(std::string& failure) const {
    try {
      return rank_0();
    } catch (const Error& error) {
      failure = error.what();
      return {};
    }
  }
  void try_rank_0(const SocketAddress& address, SocketAddress& found, std::optional<Door>& door,
                  std::string& failure) {
    auto socket = knock(address, soon());
    if (!socket) {
      if (failure != not_awaited) failure = errno != 0 ? std::strerror(errno) : not_greeting;
      return;
    }
    // The address by which rank 0 is reached is one of this host's that the others reach.
    auto listener = listen_on(SocketAddress::of_this_end(*socket).at_port(0));
    if (!listener) throw Error(named(job_.rank) + " cannot listen: " + std::strerror(errno));
    Door own(std::move(*listener), job_.token);
    switch (claim(*socket, Claim::words, own.port()).value_or(Answer::not_awaited)) {
      case Answer::welcome:
        sockets_[0].words = std::move(*socket);
        door.emplace(std::move(own));
        found = address;
        return;
      case Answer::other_number:
        throw Error("rank 0 was started for another number of ranks than " + named(job_.rank) +
                    ", which has " + std::to_string(job_.ranks) + "; they must agree");
      case Answer::not_awaited:
        failure = not_awaited;
    }
  }

  /// A connection to who listens there and speaks as ranks do.
  static std::optional<Socket> knock(const SocketAddress& address, SocketClock::time_point deadline) {
    auto socket = connect_to(address, deadline);
    if (!socket) return {};
    Words words{};
    const bool is_rank = receive_all(*socket, writable_bytes_of(words), deadline) && words == greeting;
    errno = 0;  // it was reached
    if (!is_rank) return {};
    return socket;
  }
  /// Who greets also answers, or closes the connection.
  std::optional<Answer> claim(const Socket& socket, Claim::Kind kind, int port = 0) const {
    const Claim claim{
        .token = job_.token, .rank = job_.rank, .ranks = job_.ranks, .kind = kind, .port = port};
    Answer answer{};
    if (!send_all(socket, bytes_of(claim), deadline_) ||
        !receive_all(socket, writable_bytes_of(answer), deadline_))
      return {};
    return answer;
  }
  /// A connection to a rank that is there.
  Socket enter(int rank, const SocketAddress& address, Claim::Kind kind) const {
    auto socket = knock(address, deadline_);
    if (!socket || claim(*socket, kind) != Answer::welcome)
      throw RankLost(named(job_.rank) + " does not reach " + named(rank) + " at " + address.host());
    return std::move(*socket);
  }
  std::vector<Place> hear_places() const {
    std::vector<Place> places(std::size_t(job_.ranks));
    std::int64_t size = 0;
    // Rank 0 may have come later than this one, and waits as long for the others.
    const auto deadline = deadline_ + job_.patience;
    const Socket& words = sockets_[0].words;
    if (!receive_all(words, writable_bytes_of(size), deadline) ||
        size != std::ssize(std::as_bytes(std::span(places))) ||
        !receive_all(words, std::as_writable_bytes(std::span(places)), deadline))
      throw RankLost("rank 0 ended before all ranks had come");
    for (Place& place : places) place.host[sizeof place.host - 1] = 0;
    return places;
  }

  static constexpr const char* not_greeting = "who listens there does not greet as a rank does";
  static constexpr const char* not_awaited =
      "who listens there is of another job, has another token, or has this rank already";

  const Rendezvous& job_;
  SocketClock::time_point deadline_;
  std::vector<RankSockets> sockets_;
};

}  // namespace rendezvous_detail

/// This rank's connections with all others, when all have come. Throws Error naming those that have not
/// within the job's patience, or the limit of open files, and RankLost where one that had come is gone.
/// Connections without the job's token, and those that say nothing, are closed, and cost the others nothing.
inline std::vector<RankSockets> meet_ranks(const Rendezvous& job) {
  rlimit files{};
  const rlim_t needed = 3 * static_cast<rlim_t>(job.ranks) + 64;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < needed)
    throw Error("this process may have " + std::to_string(files.rlim_cur) + " files open and " +
                std::to_string(job.ranks) + " ranks need " + std::to_string(needed) +
                " connections; ulimit -n " + std::to_string(needed) + " works");
  return rendezvous_detail::Arriving(job).meet();
}

}  // namespace stepvideo
