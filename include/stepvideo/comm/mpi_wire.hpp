// Ranks that mpirun or srun started, over MPI. Include it where MPI is found; nothing else includes it.
#pragma once
#define OMPI_SKIP_MPICXX 1
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>

#include <stepvideo/comm/rank_wire.hpp>
#include <stepvideo/core/error.hpp>

namespace stepvideo {

/// MPI from its initialisation to its end, which all ranks reach together. One of a process.
class MpiWire final : public WorldWire {
 public:
  MpiWire() : MpiWire(start()) {}
  MpiWire(const MpiWire&) = delete;
  MpiWire& operator=(const MpiWire&) = delete;
  ~MpiWire() override {
    for (const auto& posted : posted_) MPI_Wait(&posted->request, MPI_STATUS_IGNORE);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

  void post(int rank, Channel channel, std::span<const std::byte> message) override {
    send(rank, tag_of(channel), message);
  }
  std::optional<Message> take(int rank, Channel channel) override {
    auto message = receive(rank, tag_of(channel));
    if (message) pause_ = shortest_pause;
    return message;
  }
  bool is_posted() override {
    const std::lock_guard lock(mutex_);
    return is_all_sent();
  }

  void begin_send(int rank, std::span<const std::byte> bytes) override {
    const std::lock_guard lock(mutex_);
    for_each_part(bytes, [&](std::span<const std::byte> part) {
      MPI_Isend(part.data(), static_cast<int>(part.size()), MPI_BYTE, rank, data_tag, MPI_COMM_WORLD,
                &moves_.emplace_back());
    });
  }
  void begin_receive(int rank, std::span<std::byte> bytes) override {
    const std::lock_guard lock(mutex_);
    for_each_part(bytes, [&](std::span<std::byte> part) {
      MPI_Irecv(part.data(), static_cast<int>(part.size()), MPI_BYTE, rank, data_tag, MPI_COMM_WORLD,
                &moves_.emplace_back());
    });
  }
  bool is_moved() override {
    const std::lock_guard lock(mutex_);
    int are_done = 0;
    MPI_Testall(static_cast<int>(moves_.size()), moves_.data(), &are_done, MPI_STATUSES_IGNORE);
    if (are_done == 0) return false;
    moves_.clear();
    pause_ = shortest_pause;
    return true;
  }
  void drop_moves() override {}  // nobody is gone: mpirun ends all

  /// Asleep between looks: a rank that waits leaves its core to others.
  void pause() override {
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(2 * pause_, longest_pause);
  }
  bool is_gone(int) const override { return false; }
  bool outlives_ranks() const override { return false; }

  bool send_beat(int rank, const Beat& beat) override {
    send(rank, beat_tag, std::as_bytes(std::span(&beat, 1)));
    return true;
  }
  bool take_beat(int rank, std::optional<Beat>& beat) override {
    beat.reset();
    if (const auto message = receive(rank, beat_tag); message && message->size() == sizeof(Beat))
      std::memcpy(&beat.emplace(), message->data(), sizeof(Beat));
    return true;
  }

  [[noreturn]] void abort() override {
    const std::lock_guard lock(mutex_);
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();  // MPI_Abort does not return
  }

 private:
  static constexpr int data_tag = 3, beat_tag = 4;
  static constexpr std::chrono::microseconds shortest_pause{1}, longest_pause{500};
  /// MPI counts in int.
  static constexpr std::size_t largest_part = std::size_t{1} << 30;

  struct Posted {
    Message message;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  explicit MpiWire(int ranks) : WorldWire(ranks), ranks_(ranks) { MPI_Comm_rank(MPI_COMM_WORLD, &rank_); }

  /// Returns the number of ranks.
  static int start() {
    int provided = 0, ranks = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
    if (provided < MPI_THREAD_SERIALIZED) {
      MPI_Finalize();
      throw Error(
          "this MPI serves one thread alone and two take turns; one with MPI_THREAD_SERIALIZED works");
    }
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return ranks;
  }

  void send(int rank, int tag, std::span<const std::byte> message) {
    const std::lock_guard lock(mutex_);
    is_all_sent();  // what has left needs no memory
    Posted& posted = *posted_.emplace_back(std::make_unique<Posted>());
    posted.message.assign(message.begin(), message.end());
    MPI_Isend(posted.message.data(), static_cast<int>(message.size()), MPI_BYTE, rank, tag, MPI_COMM_WORLD,
              &posted.request);
  }
  std::optional<Message> receive(int rank, int tag) {
    const std::lock_guard lock(mutex_);
    int is_there = 0;
    MPI_Status status;
    MPI_Iprobe(rank, tag, MPI_COMM_WORLD, &is_there, &status);
    if (is_there == 0) return {};
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    Message message(static_cast<std::size_t>(bytes));
    MPI_Recv(message.data(), bytes, MPI_BYTE, rank, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return message;
  }
  bool is_all_sent() {
    std::erase_if(posted_, [](const std::unique_ptr<Posted>& posted) {
      int has_left = 0;
      MPI_Test(&posted->request, &has_left, MPI_STATUS_IGNORE);
      return has_left != 0;
    });
    return posted_.empty();
  }

  static int tag_of(Channel channel) { return channel == Channel::calls ? 1 : 2; }

  template <class Byte, class Call>
  static void for_each_part(std::span<Byte> bytes, Call&& call) {
    for (; bytes.size() > largest_part; bytes = bytes.subspan(largest_part)) call(bytes.first(largest_part));
    call(bytes);
  }

  std::mutex mutex_;  ///< MPI serves one thread at a time
  int rank_ = 0;
  const int ranks_;
  std::vector<std::unique_ptr<Posted>> posted_;  ///< messages that may not have left yet
  std::vector<MPI_Request> moves_;
  std::chrono::microseconds pause_ = shortest_pause;
};

}  // namespace stepvideo
