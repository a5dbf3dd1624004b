// Runs the program as a user would.
#pragma once
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/scratch_folder.hpp"

namespace stepvideo::testing {

/// A program's arguments, and some more of them.
inline std::vector<std::string> with(std::vector<std::string> arguments,
                                     const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

struct ProgramResult {
  int exit_code = -1;
  std::string output, errors;
};

/// stepvideo ARGUMENTS, waited for; `environment` is put in front, as in "OMP_NUM_THREADS=1".
inline ProgramResult run_program(const std::vector<std::string>& arguments,
                                 const std::string& environment = "") {
  const ScratchFolder scratch;
  std::string line = environment + " '" STEPVIDEO_PROGRAM "'";
  for (const std::string& argument : arguments) {
    line += " '";
    for (char c : argument) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += "'";
  }
  line += " >'" + (scratch / "out").string() + "' 2>'" + (scratch / "err").string() + "' </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(scratch / "out"),
          read_text(scratch / "err")};
}

/// Checks the exit code, and that standard error holds every phrase.
inline void check_says(const ProgramResult& result, int exit_code, const std::vector<std::string>& phrases) {
  BOOST_CHECK_MESSAGE(result.exit_code == exit_code, result.exit_code << ": " << result.errors);
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos,
                        "'" << result.errors << "' lacks: " << phrase);
}

/// An environment in which files may grow to that many KiB, as on a disk that is full.
inline std::string files_of_at_most(int kibibytes) {
  return "trap '' XFSZ; ulimit -f " + std::to_string(2 * kibibytes) + ";";
}

/// Starts the program; standard error goes to the file `errors` where one is named.
inline pid_t start_program(const std::vector<std::string>& arguments, const std::string& errors = "") {
  std::vector<char*> words{const_cast<char*>(STEPVIDEO_PROGRAM)};
  for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (!errors.empty())
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
  pid_t process = 0;
  const int refused = posix_spawn(&process, STEPVIDEO_PROGRAM, &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (refused != 0) throw std::runtime_error(STEPVIDEO_PROGRAM " cannot be started");
  return process;
}

/// Starts the program and kills it after `delay`. Returns whether it was still running; one that ended by
/// itself must have succeeded.
inline bool kill_after(const std::vector<std::string>& arguments, std::chrono::microseconds delay) {
  const pid_t process = start_program(arguments);
  std::this_thread::sleep_for(delay);
  kill(process, SIGKILL);
  int status = 0;
  waitpid(process, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
    throw std::runtime_error("the program failed before it was killed");
  return WIFSIGNALED(status);
}

/// Starts the program, presses Ctrl-C once the file `log` holds `phrase`, and waits for the end. A program
/// that ends by itself before is not interrupted.
inline ProgramResult interrupt_at(const std::vector<std::string>& arguments, const std::filesystem::path& log,
                                  const std::string& phrase) {
  const ScratchFolder scratch;
  const std::string errors = (scratch / "err").string();
  const pid_t process = start_program(arguments, errors);
  int status = 0;
  std::error_code none_yet;
  for (bool interrupted = false; waitpid(process, &status, interrupted ? 0 : WNOHANG) == 0;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (!std::filesystem::exists(log, none_yet) || read_text(log).find(phrase) == std::string::npos) continue;
    kill(process, SIGINT);
    interrupted = true;
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), "", read_text(errors)};
}

}  // namespace stepvideo::testing
