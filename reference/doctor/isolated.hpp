// Work that may crash or hang, in a child process.
#pragma once
#include <chrono>
#include <functional>
#include <string>

#include <sys/types.h>

#include "io/json.hpp"

namespace stepvideo::doctor {

/// A child that runs `work` and sends its result back. Several may run at once; each must be awaited.
class IsolatedWork {
 public:
  /// Starts at once. `work` must touch nothing that another thread of this process may hold.
  IsolatedWork(const std::function<io::Json()>& work, std::chrono::milliseconds deadline);
  IsolatedWork(const IsolatedWork&) = delete;
  IsolatedWork& operator=(const IsolatedWork&) = delete;
  ~IsolatedWork();

  struct Result {
    io::Json value;       ///< null where there is a problem
    std::string problem;  ///< "died of signal 11 (Segmentation fault)", "did not answer within 20 s", ...
  };
  /// Waits until the child is done or its time, counted from the start, is over; then it is killed.
  Result await();

 private:
  void end();

  pid_t child_ = -1;
  int pipe_ = -1;
  std::chrono::milliseconds deadline_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace stepvideo::doctor
