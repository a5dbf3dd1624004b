// How much memory this process held at most.
#pragma once
#include <cstdint>
#include <filesystem>
#include <utility>

namespace stepvideo {

/// The peak resident set since reset() (Linux: VmHWM), or since the program began where it cannot be reset.
class PeakMemory {
 public:
  /// `process` is the folder that describes this process.
  explicit PeakMemory(std::filesystem::path process = "/proc/self") : process_(std::move(process)) {}

  /// Starts a new measurement. Returns whether the system really forgot the old peak.
  bool reset();
  /// 0 where the system does not tell.
  std::uint64_t bytes() const;

 private:
  struct Sizes {
    std::uint64_t peak = 0, resident = 0;
  };
  Sizes read() const;

  std::filesystem::path process_;
};

}  // namespace stepvideo
