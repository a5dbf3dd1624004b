// What carries bytes between ranks that are processes: MPI (comm/mpi_wire.hpp) or sockets
// (comm/socket_wire.hpp).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// A sign of life.
struct Beat {
  enum Kind : std::int32_t { alive, leaves, lost } kind = alive;
  std::int32_t has_signal = 0;  ///< somebody asked the sender to stop
  std::int32_t rank = 0;        ///< that is lost
  std::int32_t is_stopped = 0;  ///< or its process has ended
  char text[112] = {};          ///< why
};

/// Ranks of which nothing more will come, and why, as in "is gone: ...". For any thread.
class Losses {
 public:
  struct Loss {
    int rank = 0;
    bool is_stopped = false;  ///< or its process has ended
    std::string why = {};
  };

  explicit Losses(int ranks) : is_lost_(static_cast<std::size_t>(ranks)) {}

  /// Returns whether it is new; the first reason stays.
  bool add(const Loss& loss) {
    const std::lock_guard lock(mutex_);
    if (is_lost_[static_cast<std::size_t>(loss.rank)].exchange(true)) return false;
    losses_.push_back(loss);
    return true;
  }
  bool has(int rank) const { return is_lost_[static_cast<std::size_t>(rank)]; }
  /// In the order in which they were added.
  std::vector<Loss> all() const {
    const std::lock_guard lock(mutex_);
    return losses_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::atomic<bool>> is_lost_;  ///< by rank
  std::vector<Loss> losses_;
};

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
  /// Whether the rank's process is known to have ended, or to be stopped; what it sent before can still be
  /// taken.
  virtual bool is_gone(int rank) const = 0;
  /// Why a rank that is gone is: "is gone: its process ended without a word".
  virtual std::string why_gone(int rank) const = 0;
  /// Whether the others can go on when a rank is gone.
  virtual bool outlives_ranks() const = 0;
  /// Ends this process with exit code 1, and with it, where this wire can, all others. Any thread may.
  [[noreturn]] virtual void abort() = 0;
};

/// The wire of all ranks of a run, on which signs of life go between rank 0 and each other rank, too. A
/// thread of their own sends and takes them beside the wire's.
class WorldWire : public RankWire {
 public:
  explicit WorldWire(int ranks) : losses_(ranks) {}

  /// Do not wait. False where the rank's process is known to have ended.
  virtual bool send_beat(int rank, const Beat& beat) = 0;
  virtual bool take_beat(int rank, std::optional<Beat>& beat) = 0;
  /// Who looks for signs of life notes here what it finds.
  Losses& losses() { return losses_; }

  std::string why_gone(int rank) const override {
    for (const Losses::Loss& loss : losses_.all())
      if (loss.rank == rank) return loss.why;
    return "is gone: its process ended without a word";
  }

 protected:
  Losses losses_;
};

}  // namespace stepvideo
