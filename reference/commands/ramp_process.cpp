#include "commands/ramp_process.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

#include "interrupt.hpp"
#include "peak_memory.hpp"

namespace stepvideo::ramp {
namespace {

using Clock = std::chrono::steady_clock;
using End = ProcessOutcome::End;

/// Becomes the program. Only calls that are safe between fork and exec.
[[noreturn]] void become(char* const* arguments, const char* errors) {
  setpgid(0, 0);  // a Ctrl-C on the terminal reaches the caller, which passes it on once
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int error_file = open(errors, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  dup2(nothing, STDIN_FILENO);
  dup2(nothing, STDOUT_FILENO);
  dup2(error_file, STDERR_FILENO);
  execv(arguments[0], arguments);
  _exit(127);
}

std::string last_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string last;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) last = line;
  constexpr std::string_view own_name = "stepvideo: ";
  return last.starts_with(own_name) ? last.substr(own_name.size()) : last;
}

/// Watches a child until it ends or must end.
class Watch {
 public:
  Watch(pid_t child, const Bounds& bounds) : child_(child), bounds_(bounds) {}

  ProcessOutcome wait() {
    int status = 0;
    rusage usage{};
    while (true) {
      const pid_t ended = wait4(child_, &status, WNOHANG, &usage);
      if (ended == child_ || (ended < 0 && errno != EINTR)) break;
      check();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    outcome_.seconds = seconds_since(start_);
    outcome_.peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    outcome_.code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    if (outcome_.end == End::exited && WIFSIGNALED(status)) outcome_.end = End::killed_by_signal;
    return outcome_;
  }

 private:
  static double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  void check() {
    if (outcome_.end == End::exited) {
      if (is_interrupted()) return stop(End::interrupted);
      if (seconds_since(start_) > bounds_.seconds) return stop(End::over_time);
      if (static_cast<double>(memory_.bytes()) > bounds_.bytes) return stop(End::over_memory);
      return;
    }
    constexpr double grace_seconds = 1.5;
    if (seconds_since(stopped_) > grace_seconds) kill(child_, SIGKILL);
  }

  void stop(End reason) {
    outcome_.end = reason;
    stopped_ = Clock::now();
    kill(child_, SIGTERM);
  }

  pid_t child_;
  Bounds bounds_;
  ProcessOutcome outcome_;
  Clock::time_point start_ = Clock::now(), stopped_;
  PeakMemory memory_{std::filesystem::path("/proc") / std::to_string(child_)};
};

}  // namespace

ProcessOutcome run_bounded(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                           const Bounds& bounds, const std::filesystem::path& scratch) {
  std::vector<std::string> line{program.string()};
  line.insert(line.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : line) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const std::string errors = (scratch / "errors").string();

  const pid_t child = fork();
  if (child < 0) throw Error(fmt::format("a process cannot be started: {}", std::strerror(errno)));
  if (child == 0) become(pointers.data(), errors.c_str());
  ProcessOutcome outcome = Watch(child, bounds).wait();
  if (outcome.end == End::exited && outcome.code == 127)
    throw Error(fmt::format("{} cannot be run", program.string()));
  outcome.errors = last_line(errors);
  return outcome;
}

std::filesystem::path own_program() {
  return std::filesystem::read_symlink("/proc/self/exe");
}

}  // namespace stepvideo::ramp
