#include "interrupt.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exit_code.hpp"
#include "io/pending_file.hpp"
#include "last_words.hpp"

namespace stepvideo {

namespace {

constexpr int signals[] = {SIGINT, SIGTERM, SIGHUP};

constexpr int by_signal = 1, by_this_process = 2;
constexpr unsigned longest_seconds = 8;  // less than the ten that containers are given
volatile std::sig_atomic_t signal_came = 0, urgent_signal = 0;
volatile std::sig_atomic_t wake = -1;  // the watcher's event

enum class Agreement { not_needed, none_yet, reached };
thread_local Agreement agreement = Agreement::not_needed;

struct Answer {
  std::mutex mutex;
  std::function<void()> call;
};
Answer& answer() {
  static auto* const one = new Answer;
  return *one;
}

extern "C" void note_signal(int signal) {
  const int error = errno;
  if (signal != SIGINT || signal_came == by_signal) {
    urgent_signal = signal;
    alarm(longest_seconds);  // should the watcher hang, too
  }
  signal_came = by_signal;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(wake, &one, sizeof one);
  errno = error;
}

extern "C" void end_without_words(int) {
  _exit(interrupt_exit_code());
}

/// The work is saved and the process ends, whatever its threads are doing.
void end_at_once(bool leaves) {
  const std::string why = urgent_signal == SIGINT   ? "stopped by a second interrupt"
                          : urgent_signal == SIGHUP ? "stopped by SIGHUP, a closed terminal"
                                                    : "stopped by SIGTERM";
  const std::string sentence = LastWords::speak_all(why);
  if (sentence.empty()) return;
  say_failure(sentence == why && !leaves ? why + "; nothing was written" : sentence);
  io::drop_pending();
  std::_Exit(interrupt_exit_code());
}

/// A library that gives up calls exit(), on whichever thread it is (libgomp that gets no thread, MPI): the
/// work is saved all the same, and nothing is destroyed under the threads that still run.
void end_by_library(int code, void*) {
  const std::string sentence = LastWords::speak_all(
      "a library ended the process, its words stand before these; where it lacked memory or threads, a "
      "higher ulimit -v or -u works, and so do fewer threads: OMP_NUM_THREADS=1");
  if (sentence.empty()) return;
  say_failure(sentence);
  io::drop_pending();
  std::_Exit(code);
}

void watch(int event, std::chrono::milliseconds grace, bool leaves) {
  for (bool is_answered = false; true;) {
    pollfd wait{event, POLLIN, 0};
    if (poll(&wait, 1, -1) < 0) continue;
    std::uint64_t unused = 0;
    [[maybe_unused]] const auto size = read(event, &unused, sizeof unused);
    if (urgent_signal != 0) {
      std::this_thread::sleep_for(grace);
      end_at_once(leaves);
      return;
    }
    if (std::exchange(is_answered, true)) continue;
    const std::lock_guard lock(answer().mutex);
    if (answer().call) answer().call();
  }
}

/// Once in a process; a fork needs its own.
void start_watcher(std::chrono::milliseconds grace, bool leaves) {
  static pid_t watched = 0;
  if (std::exchange(watched, getpid()) == getpid()) return;
  [[maybe_unused]] static const int registered = on_exit(end_by_library, nullptr);
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  wake = event;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // others take the signals
  std::thread(watch, event, grace, leaves).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

[[noreturn]] void throw_interrupted(std::string_view where) {
  throw Interrupted(fmt::format("interrupted {}; nothing was written", where), std::string(where));
}

}  // namespace

void catch_interrupts(std::chrono::milliseconds grace, bool leaves) {
  start_watcher(grace, leaves);
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : signals) {
    struct sigaction inherited {};
    sigaction(signal, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGALRM, end_without_words);
}

bool is_interrupted() noexcept {
  return agreement == Agreement::not_needed ? signal_came != 0 : agreement == Agreement::reached;
}

bool is_stopped_at_once() noexcept {
  return agreement == Agreement::not_needed && urgent_signal != 0;
}

void interrupt_this_process() noexcept {
  if (signal_came == 0) signal_came = by_this_process;
}

bool is_signalled() noexcept {
  return signal_came == by_signal;
}

int interrupt_exit_code() noexcept {
  return 128 + (urgent_signal != 0 ? urgent_signal : SIGINT);
}

AgreedInterrupts::AgreedInterrupts() noexcept {
  agreement = Agreement::none_yet;
}
AgreedInterrupts::~AgreedInterrupts() {
  agreement = Agreement::not_needed;
}
bool AgreedInterrupts::signal_came() noexcept {
  return ::stepvideo::signal_came != 0;
}
void AgreedInterrupts::agree() noexcept {
  agreement = Agreement::reached;
}

void throw_if_interrupted(std::string_view where) {
  if (is_interrupted()) throw_interrupted(where);
}

void throw_if_stopped_at_once(std::string_view where) {
  if (is_stopped_at_once()) throw_interrupted(where);
}

OnInterrupt::OnInterrupt(std::function<void()> call) {
  const std::lock_guard lock(answer().mutex);
  answer().call = std::move(call);
}
OnInterrupt::~OnInterrupt() {
  const std::lock_guard lock(answer().mutex);
  answer().call = {};
}

}  // namespace stepvideo
