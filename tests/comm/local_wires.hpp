// Wires between ranks of one process.
#pragma once
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/socket_wire.hpp>

namespace stepvideo::testing {

/// The two ends of a connection.
inline std::pair<Socket, Socket> connection() {
  int ends[2];
  BOOST_REQUIRE_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  return {Socket(ends[0]), Socket(ends[1])};
}

inline std::vector<std::unique_ptr<SocketWire>> wires_between(int ranks) {
  const auto count = static_cast<std::size_t>(ranks);
  std::vector<std::vector<RankSockets>> sockets(count);
  for (auto& of_rank : sockets) of_rank.resize(count);
  for (std::size_t a = 0; a < count; ++a)
    for (std::size_t b = a + 1; b < count; ++b) {
      std::tie(sockets[a][b].words, sockets[b][a].words) = connection();
      std::tie(sockets[a][b].data, sockets[b][a].data) = connection();
      if (a == 0) std::tie(sockets[a][b].beats, sockets[b][a].beats) = connection();
    }
  std::vector<std::unique_ptr<SocketWire>> all;
  for (int rank = 0; rank < ranks; ++rank)
    all.push_back(std::make_unique<SocketWire>(rank, std::move(sockets[static_cast<std::size_t>(rank)])));
  return all;
}

}  // namespace stepvideo::testing
