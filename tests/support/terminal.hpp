// Runs the program as somebody at a terminal does.
#pragma once
#include <pty.h>
#include <sys/ioctl.h>

#include "support/program.hpp"

namespace stepvideo::testing {

/// stepvideo ARGUMENTS on a terminal of so many columns, with `environment`, "NAME=VALUE" each; `output` is
/// all that it shows.
inline ProgramResult run_on_terminal(const StringList& arguments, unsigned short columns = 80,
                                     const StringList& environment = {"TERM=xterm", "NO_COLOR="}) {
  const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  const pid_t process = forkpty(&terminal, nullptr, nullptr, &size);
  if (process < 0) throw std::runtime_error("no terminal can be made");
  if (process == 0) {
    for (const std::string& variable : environment) putenv(const_cast<char*>(variable.c_str()));
    std::vector<char*> words{const_cast<char*>(STEPVIDEO_PROGRAM)};
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    execv(words[0], words.data());
    _exit(127);
  }
  ProgramResult result;
  char part[4096];
  for (ssize_t count = 0; (count = read(terminal, part, sizeof part)) > 0;)
    result.output.append(part, static_cast<std::size_t>(count));
  int status = 0;
  waitpid(process, &status, 0);
  close(terminal);
  result.exit_code = exit_code_of(status);
  return result;
}

}  // namespace stepvideo::testing
