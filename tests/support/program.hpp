// Runs the program as a user would.
#pragma once
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "support/processes.hpp"
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
  return {exit_code_of(status), read_text(scratch / "out"), read_text(scratch / "err")};
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
inline pid_t start_program(const std::vector<std::string>& arguments, const std::string& errors = "",
                           const std::vector<std::string>& environment = {}) {
  return start_process(with({STEPVIDEO_PROGRAM}, arguments), errors, environment);
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

/// Starts the program, sends it `signals` once the file `log` holds `phrase`, a moment apart, and waits for
/// the end. A program that ends by itself before is not disturbed.
struct StoppedProgram : ProgramResult {
  std::chrono::milliseconds time{};  ///< from the last signal to the end
};
inline StoppedProgram stop_at(const std::vector<std::string>& arguments, const std::filesystem::path& log,
                              const std::string& phrase, const std::vector<int>& signals,
                              const std::vector<std::string>& environment = {}) {
  using namespace std::chrono_literals;
  const ScratchFolder scratch;
  const std::string errors = (scratch / "err").string();
  const pid_t process = start_program(arguments, errors, environment);
  int status = 0;
  std::error_code none_yet;
  auto begin = std::chrono::steady_clock::now();
  for (bool is_stopping = false; waitpid(process, &status, is_stopping ? 0 : WNOHANG) == 0;) {
    std::this_thread::sleep_for(20ms);
    if (!std::filesystem::exists(log, none_yet) || read_text(log).find(phrase) == std::string::npos) continue;
    for (const int signal : signals) {
      if (std::exchange(is_stopping, true)) std::this_thread::sleep_for(100ms);
      kill(process, signal);
    }
    begin = std::chrono::steady_clock::now();
  }
  const auto time =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  return {{exit_code_of(status), "", read_text(errors)}, time};
}

/// The same for one Ctrl-C.
inline ProgramResult interrupt_at(const std::vector<std::string>& arguments, const std::filesystem::path& log,
                                  const std::string& phrase) {
  return stop_at(arguments, log, phrase, {SIGINT});
}

}  // namespace stepvideo::testing
