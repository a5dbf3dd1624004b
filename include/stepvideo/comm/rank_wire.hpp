// What carries bytes between ranks that are processes: MPI (comm/mpi_wire.hpp) or sockets
// (comm/socket_wire.hpp).
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace stepvideo {

/// One rank's end. For one thread at a time. Beside small messages, which come whole and in the order in
/// which they were posted, two ranks that have agreed on it move data from memory to memory.
class RankWire {
 public:
  using Message = std::vector<std::byte>;
  /// Messages of one channel wait for none of the other.
  enum class Channel { calls, notes };

  virtual ~RankWire() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  /// Does not wait: a rank that is stopped takes nothing.
  virtual void post(int rank, Channel channel, std::span<const std::byte> message) = 0;
  /// The rank's next message, where it has come.
  virtual std::optional<Message> take(int rank, Channel channel) = 0;
  /// Whether all that was posted has left.
  virtual bool is_posted() = 0;

  /// Bytes move from a rank's begin_send to the other's begin_receive, in the order of these, of the same
  /// sizes, none of them 0; the memory stays until is_moved().
  virtual void begin_send(int rank, std::span<const std::byte> bytes) = 0;
  virtual void begin_receive(int rank, std::span<std::byte> bytes) = 0;
  /// Moves what can be moved. Whether all that was begun is there.
  virtual bool is_moved() = 0;
  /// Forgets what was begun, where a rank is gone.
  virtual void drop_moves() = 0;

  /// Sleeps until something may have come, for some milliseconds at most.
  virtual void pause() = 0;
  /// Whether the rank's process is known to have ended; what it sent before can still be taken.
  virtual bool is_gone(int rank) const = 0;
  /// Ends this process with exit code 1, and with it, where this wire can, all others.
  [[noreturn]] virtual void abort() = 0;
};

}  // namespace stepvideo
