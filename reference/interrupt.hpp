// How a run is stopped: at the end of its step, or at once; what it did stays.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <stepvideo/core/error.hpp>

namespace stepvideo {

/// Somebody asked the run to stop.
class Interrupted : public Error {
 public:
  /// `where`: the part of the message that says how far the run was, "after step 12 of 50".
  explicit Interrupted(const std::string& message, std::string where = {})
      : Error(message), where_(std::move(where)) {}

  const std::string& where() const { return where_; }

 private:
  std::string where_;
};

/// The run was to go so far and no further: it has done what it was asked for.
class StoppedAsAsked : public Interrupted {
 public:
  using Interrupted::Interrupted;
};

/// From now on the first SIGINT stops the run at the end of its step; a second one, SIGTERM and SIGHUP stop
/// it at once: where nothing looks for `grace`, a thread of its own calls LastWords, says what is left and
/// ends the process with the code of interrupt_exit_code(). One that `leaves` has no work of its own to tell
/// of. A library that calls exit() ends the run likewise, with its code. A signal that this process was
/// started to ignore stays ignored, as a script's background job and nohup want it. Writing to a reader that
/// is gone is an error from then on and no longer the end.
void catch_interrupts(std::chrono::milliseconds grace = std::chrono::milliseconds(1000), bool leaves = false);

/// Whether a signal came; on a rank's thread, whether the ranks agreed that one did.
bool is_interrupted() noexcept;
/// Whether one came that does not wait for the end of the step. False on a rank's thread: alone it would keep
/// the others waiting.
bool is_stopped_at_once() noexcept;
/// As if the first SIGINT had come.
void interrupt_this_process() noexcept;
/// Whether a signal came to this process: nothing else was interrupt enough.
bool is_signalled() noexcept;
/// How an interrupted process ends: 130, after SIGTERM 143, after SIGHUP 129.
int interrupt_exit_code() noexcept;

/// While it lives, its thread is a rank that stops when all ranks do: a signal shows there only once the
/// ranks have agreed on it.
class AgreedInterrupts {
 public:
  AgreedInterrupts() noexcept;
  AgreedInterrupts(const AgreedInterrupts&) = delete;
  AgreedInterrupts& operator=(const AgreedInterrupts&) = delete;
  ~AgreedInterrupts();

  /// Whether a signal came to this process, agreed on or not.
  static bool signal_came() noexcept;
  /// From now on this thread is interrupted.
  static void agree() noexcept;
};

/// Throws Interrupted with "interrupted WHERE; nothing was written" when a signal came.
void throw_if_interrupted(std::string_view where);
/// The same for a signal that does not wait for the end of the step.
void throw_if_stopped_at_once(std::string_view where);

/// While it lives it is told of the first SIGINT, from another thread. One lives at a time.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> answer);
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;
  ~OnInterrupt();
};

}  // namespace stepvideo
