// Starts programs, several at a time, and waits for them.
#pragma once
#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace stepvideo::testing {

using StringList = std::vector<std::string>;

/// The first of eight ports that nobody else asks for: below those which the system gives away.
inline int unused_port() {
  static int count = 0;
  return 12000 + (getpid() * 41 + ++count) % 1000 * 8;
}

/// Starts the program `words[0]` with `environment`, "NAME=VALUE" each, before what this process has.
/// Standard error goes to the file `errors` where one is named, behind what is there.
inline pid_t start_process(const StringList& words, const std::filesystem::path& errors = {},
                           StringList environment = {}) {
  for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
  const auto pointers = [](const StringList& texts) {
    std::vector<char*> list;
    for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
    list.push_back(nullptr);
    return list;
  };
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (!errors.empty())
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
  // Whoever runs the tests in the background may have them ignore signals.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t usual;
  sigemptyset(&usual);
  for (const int signal : {SIGINT, SIGHUP, SIGTERM}) sigaddset(&usual, signal);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t process = 0;
  const int refused = posix_spawnp(&process, words[0].c_str(), &actions, &attributes, pointers(words).data(),
                                   pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (refused != 0) throw std::runtime_error(words[0] + " cannot be started");
  return process;
}

/// As a shell says it.
inline int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Waits for all and returns their exit codes. What is still there after the limit is killed: 137.
inline std::vector<int> wait_for_processes(const std::vector<pid_t>& processes,
                                           std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  std::vector<int> codes;
  for (const pid_t process : processes) {
    int status = 0;
    while (waitpid(process, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > end) kill(process, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    codes.push_back(exit_code_of(status));
  }
  return codes;
}

}  // namespace stepvideo::testing
