// Ctrl-C between steps: the run stops at the next step and cleans up behind itself.
#pragma once
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

/// From now on SIGINT and SIGTERM set a flag. A second one ends the program at once.
void catch_interrupts();

/// Whether a signal came; on a rank's thread, whether the ranks agreed that one did.
bool is_interrupted() noexcept;

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

}  // namespace stepvideo
