// Which ranks live: signs of life between rank 0 and each other rank, whatever the ranks are doing.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <stepvideo/comm/rank_wire.hpp>

namespace stepvideo {

/// A thread of this rank that says that its process runs, and hears the others': a process that is stopped
/// says nothing, a slow one does. Rank 0 hears all others and tells them which are lost; they hear rank 0.
class Heartbeat {
 public:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  struct Calls {
    std::function<bool()> has_signal = {};  ///< whether somebody asked this process to stop
    std::function<void()> on_signal = {};   ///< on rank 0: somebody asked another rank to
    std::function<void()> on_neglect = {};  ///< a loss that this rank has not dealt with in time
  };

  /// Notes in the wire's losses who has been silent for so long, and whose process has ended. Only time in
  /// which this thread ran counts. The wire outlives this.
  Heartbeat(WorldWire& wire, Seconds longest_silence, Calls calls)
      : wire_(wire),
        longest_silence_(longest_silence.count()),
        calls_(std::move(calls)),
        others_(std::size_t(wire.ranks())),
        thread_([this](std::stop_token stop) { run(stop); }) {}

  /// 0 for ever.
  void set_longest_silence(Seconds seconds) { longest_silence_ = seconds.count(); }

  /// Ranks other than 0 may be lost while it is set: somebody else deals with it.
  void set_tolerant(bool is_tolerant) { is_tolerant_ = is_tolerant; }
  /// The first loss that ends the run.
  std::optional<Losses::Loss> loss() const {
    for (const Losses::Loss& loss : wire_.losses().all())
      if (loss.rank == 0 || !is_tolerant_) return loss;
    return {};
  }

  /// Whether this rank says why the run ends: rank 0 does, and without it all others, who do not know of each
  /// other.
  bool is_speaker() const { return wire_.rank() == 0 || wire_.losses().has(0); }

  /// This rank deals with a loss, which may take so long.
  void set_patience(Seconds seconds) { patience_ = seconds.count(); }
  /// From now on nobody counts this rank's silence.
  void leave() {
    is_leaving_ = true;
    wake_.notify_all();
  }
  /// Whether all others but `except` have left or are lost; of a rank other than 0, whether rank 0 has.
  bool have_others_left(int except = -1) const {
    if (wire_.rank() > 0) return except == 0 || others_[0].is_out;
    for (int rank = 1; rank < wire_.ranks(); ++rank)
      if (rank != except && !others_[std::size_t(rank)].is_out) return false;
    return true;
  }

 private:
  static constexpr std::chrono::milliseconds interval{100};

  struct Other {
    bool has_come = false, has_left = false;
    Seconds silence{};
    std::atomic<bool> is_out = false;  ///< it has left or is lost
  };

  void run(std::stop_token stop) {
    for (auto before = Clock::now(); !stop.stop_requested();) {
      say(Beat{.kind = is_leaving_ ? Beat::leaves : Beat::alive,
               .has_signal = calls_.has_signal && calls_.has_signal()});
      const auto now = Clock::now();
      listen(std::min<Seconds>(now - before, 2 * interval));
      before = now;
      std::unique_lock lock(mutex_);
      const bool was_leaving = is_leaving_;
      wake_.wait_for(lock, stop, interval, [&] { return is_leaving_ != was_leaving; });
    }
    say(Beat{.kind = Beat::leaves});
  }

  template <class Work>
  void for_each_other(Work&& work) {
    if (wire_.rank() > 0) return work(0, others_[0]);
    for (int rank = 1; rank < wire_.ranks(); ++rank) work(rank, others_[std::size_t(rank)]);
  }

  void say(const Beat& beat) {
    for_each_other([&](int rank, const Other&) {
      if (!wire_.losses().has(rank)) wire_.send_beat(rank, beat);
    });
  }

  void listen(Seconds passed) {
    for_each_other([&](int rank, Other& other) {
      if (!other.has_left && !wire_.losses().has(rank)) hear(rank, other, passed);
      other.is_out = other.has_left || wire_.losses().has(rank);
    });
    neglected_ = loss() ? neglected_ + passed : Seconds{};
    if (neglected_.count() > patience_ && !std::exchange(was_told_, true) && calls_.on_neglect)
      neglect_ = std::jthread(calls_.on_neglect);  // signs of life go on meanwhile
  }

  void hear(int rank, Other& other, Seconds passed) {
    other.silence += passed;
    std::optional<Beat> beat;
    bool is_there = true;
    while (is_there && !other.has_left) {
      is_there = wire_.take_beat(rank, beat);
      if (!beat) break;
      other.has_come = true, other.silence = {};
      take(*beat, other);
    }
    if (other.has_left) return;
    // Who has not come yet may still be on its way to other ranks.
    const double limit = longest_silence_ * (other.has_come ? 1 : 10);
    if (!is_there)
      note({rank, false, "is gone: its process ended without a word"});
    else if (limit > 0 && other.silence.count() > limit)
      note({rank, true, "is stopped: it has given no sign of life for " + text_of(other.silence)});
  }

  void take(Beat beat, Other& other) {
    beat.text[sizeof beat.text - 1] = 0;
    other.has_left = beat.kind == Beat::leaves;
    if (beat.kind == Beat::lost && beat.rank >= 0 && beat.rank < wire_.ranks())
      wire_.losses().add({beat.rank, beat.is_stopped != 0, beat.text});
    if (beat.has_signal != 0 && wire_.rank() == 0 && calls_.on_signal) calls_.on_signal();
  }

  /// What rank 0 finds it tells the others.
  void note(const Losses::Loss& loss) {
    if (!wire_.losses().add(loss) || wire_.rank() > 0) return;
    Beat beat{.kind = Beat::lost, .rank = loss.rank, .is_stopped = loss.is_stopped};
    loss.why.copy(beat.text, sizeof beat.text - 1);
    say(beat);
  }

  static std::string text_of(Seconds seconds) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f s", seconds.count());
    return text;
  }

  WorldWire& wire_;
  std::atomic<double> longest_silence_, patience_ = 1.5;  ///< seconds
  Calls calls_;
  std::vector<Other> others_;  ///< by rank; the thread's but for is_out
  Seconds neglected_{};        ///< the thread's, as the next
  bool was_told_ = false;
  std::atomic<bool> is_tolerant_ = false, is_leaving_ = false;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread neglect_;
  std::jthread thread_;  ///< last: it uses the others
};

}  // namespace stepvideo
