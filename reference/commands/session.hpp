// What a command that runs a model sets up.
#pragma once
#include "commands/options.hpp"
#include "interrupt.hpp"
#include "progress.hpp"

namespace stepvideo::commands {

/// Progress as the flags ask for it; from here on Ctrl-C stops the run between steps.
inline Progress start_progress(const CommonOptions& options) {
  catch_interrupts();
  return Progress({.is_quiet = options.is_quiet, .log_file = options.log_file});
}

}  // namespace stepvideo::commands
