// TCP connections, as far as ranks need them: owned, none of them waits beyond a deadline.
#pragma once
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo {

using SocketClock = std::chrono::steady_clock;

/// A descriptor that is closed with its owner.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() {
    if (is_open()) ::close(descriptor_);
  }

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

/// A host's address and a port.
class SocketAddress {
 public:
  /// All that a name or a number stands for. Throws Error where that is nothing.
  static std::vector<SocketAddress> of(const std::string& host, int port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found))
      throw Error("the host " + host + " has no address: " + gai_strerror(failure));
    std::vector<SocketAddress> addresses;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      SocketAddress& address = addresses.emplace_back();
      std::memcpy(&address.storage_, each->ai_addr, each->ai_addrlen);
      address.size_ = each->ai_addrlen;
    }
    freeaddrinfo(found);
    return addresses;
  }
  static SocketAddress of_this_end(const Socket& socket) {
    SocketAddress address;
    getsockname(socket.get(), address.get(), &address.size_);
    return address;
  }
  static SocketAddress of_other_end(const Socket& socket) {
    SocketAddress address;
    getpeername(socket.get(), address.get(), &address.size_);
    return address;
  }

  SocketAddress at_port(int port) const {
    SocketAddress other = *this;
    const in_port_t number = htons(static_cast<std::uint16_t>(port));
    if (family() == AF_INET6)
      reinterpret_cast<sockaddr_in6*>(other.get())->sin6_port = number;
    else
      reinterpret_cast<sockaddr_in*>(other.get())->sin_port = number;
    return other;
  }

  int family() const { return storage_.ss_family; }
  int port() const { return std::stoi(name(NI_NUMERICSERV).second); }
  /// In numbers.
  std::string host() const { return name(NI_NUMERICHOST).first; }
  /// Of this machine alone.
  bool is_loopback() const {
    if (family() == AF_INET6)
      return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(get())->sin6_addr);
    return (ntohl(reinterpret_cast<const sockaddr_in*>(get())->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

 private:
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage_); }
  std::pair<std::string, std::string> name(int flags) const {
    char host[NI_MAXHOST] = {}, port[NI_MAXSERV] = {};
    getnameinfo(get(), size_, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV | flags);
    return {host, port};
  }

  sockaddr_storage storage_{};
  socklen_t size_ = sizeof(sockaddr_storage);
};

namespace socket_detail {

/// Whether the call would have had to wait.
inline bool is_nothing_yet() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/// Small messages leave at once, and a host that vanishes ends the connection within two minutes, though
/// nothing is said.
inline void set_options(const Socket& socket) {
  const auto set = [&](int level, int option, int value) {
    setsockopt(socket.get(), level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

inline Socket open_socket(int family) {
  Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.is_open()) set_options(socket);
  return socket;
}

/// Whether the socket is ready for `events` before the deadline.
inline bool wait_until_ready(const Socket& socket, short events, SocketClock::time_point deadline) {
  while (true) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - SocketClock::now());
    pollfd waiting{socket.get(), events, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<long long>(0, rest.count())));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace socket_detail

/// Listens there, and nowhere else; errno says why not.
inline std::optional<Socket> listen_on(const SocketAddress& address) {
  Socket socket = socket_detail::open_socket(address.family());
  const int on = 1;
  if (!socket.is_open() ||
      setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||  // of connections that ended
      bind(socket.get(), address.get(), address.size()) != 0 || listen(socket.get(), SOMAXCONN) != 0)
    return {};
  return socket;
}

/// A connection that somebody made to the listener, where there is one.
inline std::optional<Socket> accept_from(const Socket& listener) {
  Socket socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.is_open()) return {};
  socket_detail::set_options(socket);
  return socket;
}

/// errno says why not.
inline std::optional<Socket> connect_to(const SocketAddress& address, SocketClock::time_point deadline) {
  Socket socket = socket_detail::open_socket(address.family());
  if (!socket.is_open()) return {};
  if (connect(socket.get(), address.get(), address.size()) == 0) return socket;
  if (errno != EINPROGRESS) return {};
  if (!socket_detail::wait_until_ready(socket, POLLOUT, deadline)) {
    errno = ETIMEDOUT;
    return {};
  }
  int failure = 0;
  socklen_t size = sizeof failure;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
  errno = failure;
  if (failure != 0) return {};
  return socket;
}

/// Sends or receives what goes without waiting, and drops it from `bytes`. False where the connection has
/// ended.
inline bool send_some(const Socket& socket, std::span<const std::byte>& bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return socket_detail::is_nothing_yet();
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}
inline bool receive_some(const Socket& socket, std::span<std::byte>& bytes) {
  while (!bytes.empty()) {
    const ssize_t received = ::recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (received == 0) return false;
    if (received < 0) return socket_detail::is_nothing_yet();
    bytes = bytes.subspan(static_cast<std::size_t>(received));
  }
  return true;
}

/// Waits until all is sent or received. False where the connection ends or the deadline comes before.
inline bool send_all(const Socket& socket, std::span<const std::byte> bytes,
                     SocketClock::time_point deadline) {
  while (send_some(socket, bytes)) {
    if (bytes.empty()) return true;
    if (!socket_detail::wait_until_ready(socket, POLLOUT, deadline)) return false;
  }
  return false;
}
inline bool receive_all(const Socket& socket, std::span<std::byte> bytes, SocketClock::time_point deadline) {
  while (receive_some(socket, bytes)) {
    if (bytes.empty()) return true;
    if (!socket_detail::wait_until_ready(socket, POLLIN, deadline)) return false;
  }
  return false;
}

/// Whether the other end has closed it; what it sent before may still be there.
inline bool is_closed(const Socket& socket) {
  char first = 0;
  const ssize_t there = ::recv(socket.get(), &first, 1, MSG_PEEK);
  return there == 0 || (there < 0 && !socket_detail::is_nothing_yet());
}

}  // namespace stepvideo
