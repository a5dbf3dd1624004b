#include "doctor/isolated.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace stepvideo::doctor {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

[[noreturn]] void run_child(const std::function<io::Json()>& work, int pipe) {
  // Libraries print; a core dump of a probe helps nobody.
  const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (nowhere >= 0) dup2(nowhere, stream);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  std::string text;
  try {
    text = work().dump(-1, ' ', false, io::Json::error_handler_t::replace);
  } catch (const std::exception& error) {
    _exit(1);
  }
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t count = write(pipe, text.data() + sent, text.size() - sent);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) _exit(1);
    sent += static_cast<std::size_t>(count);
  }
  _exit(0);  // no destructors: they belong to the parent
}

}  // namespace

IsolatedWork::IsolatedWork(const std::function<io::Json()>& work, milliseconds deadline)
    : deadline_(deadline) {
  std::array<int, 2> ends{-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
  child_ = fork();
  if (child_ == 0) run_child(work, ends[1]);
  close(ends[1]);
  pipe_ = ends[0];
}

IsolatedWork::~IsolatedWork() {
  end();
}

void IsolatedWork::end() {
  if (pipe_ >= 0) close(pipe_);
  pipe_ = -1;
  if (child_ <= 0) return;
  kill(child_, SIGKILL);
  // A child that waits inside the driver cannot be killed; it is left behind rather than waited for.
  for (int attempt = 0; attempt < 50 && waitpid(child_, nullptr, WNOHANG) == 0; ++attempt)
    std::this_thread::sleep_for(milliseconds(10));
  child_ = -1;
}

IsolatedWork::Result IsolatedWork::await() {
  if (child_ <= 0 || pipe_ < 0) return {{}, "could not be started"};
  std::string text;
  std::array<char, 4096> part;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(started_ + deadline_ - steady_clock::now()).count();
    pollfd waiting{pipe_, POLLIN, 0};
    const int ready = left > 0 ? poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      end();
      return {{}, fmt::format("did not answer within {} s", static_cast<double>(deadline_.count()) / 1000)};
    }
    const ssize_t count = read(pipe_, part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(count));
  }
  // The pipe is closed: the child has gone, or goes now.
  int status = 0;
  pid_t gone = 0;
  for (int attempt = 0; attempt < 500 && gone == 0; ++attempt) {
    gone = waitpid(child_, &status, WNOHANG);
    if (gone == 0) std::this_thread::sleep_for(milliseconds(1));
  }
  if (gone != child_) {
    end();
    return {{}, "answered and did not end"};
  }
  child_ = -1;
  if (WIFSIGNALED(status))
    return {{}, fmt::format("died of signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))};
  io::Json value = io::Json::parse(text, nullptr, false);
  if (WEXITSTATUS(status) != 0 || value.is_discarded()) return {{}, "gave no answer"};
  return {std::move(value), ""};
}

}  // namespace stepvideo::doctor
