// Preloaded, ends its process without a word when SIGUSR1 comes, and as a library does that gives up, by
// exit() on a thread of its own, when SIGUSR2 does.
#include <csignal>
#include <cstdlib>
#include <thread>

#include <semaphore.h>
#include <unistd.h>

namespace {

sem_t gives_up;

[[gnu::constructor]] void exit_on_signal() {
  std::signal(SIGUSR1, [](int) { _exit(0); });
  sem_init(&gives_up, 0, 0);
  std::signal(SIGUSR2, [](int) { sem_post(&gives_up); });
  std::thread([] {
    while (sem_wait(&gives_up) != 0) {
    }
    std::exit(1);
  }).detach();
}

}  // namespace
