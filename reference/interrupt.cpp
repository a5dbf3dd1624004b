#include "interrupt.hpp"

#include <csignal>
#include <string>

namespace stepvideo {
namespace {

volatile std::sig_atomic_t signal_came = 0;

enum class Agreement { not_needed, none_yet, reached };
thread_local Agreement agreement = Agreement::not_needed;

extern "C" void note_signal(int) {
  signal_came = 1;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESETHAND | SA_RESTART;  // the second signal finds the default action
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool is_interrupted() noexcept {
  return agreement == Agreement::not_needed ? signal_came != 0 : agreement == Agreement::reached;
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
  if (is_interrupted())
    throw Interrupted("interrupted " + std::string(where) + "; nothing was written", std::string(where));
}

}  // namespace stepvideo
