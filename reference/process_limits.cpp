#include "process_limits.hpp"

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo {
namespace {

constexpr unsigned long long least_bytes = 2ull << 20, usual_bytes = 8ull << 20;

struct Task {
  const std::function<int()>& work;
  int result = 0;
  std::exception_ptr failure = {};
};

const char* value_of(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void* run_task(void* argument) {
  Task& task = *static_cast<Task*>(argument);
  try {
    task.result = task.work();
  } catch (...) {
    task.failure = std::current_exception();
  }
  return nullptr;
}

}  // namespace

unsigned long long stack_bytes_of(const char* value) {
  char* rest = nullptr;
  const unsigned long long number = std::strtoull(value, &rest, 10);
  if (rest == value || std::strchr(value, '-') != nullptr) return 0;
  while (std::isspace(static_cast<unsigned char>(*rest)) != 0) ++rest;
  const char unit = static_cast<char>(std::toupper(static_cast<unsigned char>(*rest)));
  const int shift = unit == 'B'                ? 0
                    : unit == 'M'              ? 20
                    : unit == 'G'              ? 30
                    : unit == 'K' || unit == 0 ? 10
                                               : -1;
  return shift < 0 ? 0 : number << shift;
}

int within_limits(char** arguments, const std::function<int()>& work) {
  std::string changed;
  const auto change = [&](const char* name, const std::string& to) {
    setenv(name, to.c_str(), 1);
    changed += fmt::format("{}{}={}", changed.empty() ? "" : " ", name, to);
  };
  for (const char* const name : {"OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const unsigned long long bytes = stack_bytes_of(value_of(name));
    if (bytes > 0 && bytes < least_bytes) change(name, fmt::format("{}K", usual_bytes >> 10));
  }
  rlimit addresses{};
  if (getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY) {
    if (std::strcmp(value_of("OPENBLAS_NUM_THREADS"), "1") != 0) change("OPENBLAS_NUM_THREADS", "1");
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 1);  // glibc would set 64 MiB of addresses apart for each thread
#endif
  }
  if (!changed.empty()) {  // the libraries have read theirs already
    execv("/proc/self/exe", arguments);
    throw Error(
        fmt::format("this process's limits need {}, and it cannot begin again with that: {}; set it "
                    "before",
                    changed, std::strerror(errno)));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= least_bytes) return work();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, usual_bytes);
  pthread_setattr_default_np(&attributes);  // of the threads to come
  Task task{work};
  pthread_t thread;
  const int refused = pthread_create(&thread, &attributes, run_task, &task);
  pthread_attr_destroy(&attributes);
  if (refused != 0)
    throw Error(
        fmt::format("ulimit -s leaves a stack of {} KiB, which kernels do not fit on, and there is no memory "
                    "for another: {}; ulimit -s 8192 works",
                    limit.rlim_cur >> 10, std::strerror(refused)));
  pthread_join(thread, nullptr);
  if (task.failure) std::rethrow_exception(task.failure);
  return task.result;
}

}  // namespace stepvideo
