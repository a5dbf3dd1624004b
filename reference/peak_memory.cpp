#include "peak_memory.hpp"

#include <charconv>
#include <fstream>
#include <string>

namespace stepvideo {

bool PeakMemory::reset() {
  {
    std::ofstream control(process_ / "clear_refs");
    control << "5\n" << std::flush;  // proc(5): resets the peak resident set
    if (!control) return false;
  }
  // Some sandboxes accept the write and do nothing.
  constexpr std::uint64_t slack_bytes = 16 << 20;
  return bytes() > 0 && bytes() <= status_bytes("VmRSS:") + slack_bytes;
}

std::uint64_t PeakMemory::bytes() const {
  return status_bytes("VmHWM:");
}

std::uint64_t PeakMemory::status_bytes(std::string_view field) const {
  std::ifstream status(process_ / "status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(field)) continue;
    const auto digits = line.find_first_of("0123456789");
    std::uint64_t kibibytes = 0;
    if (digits != line.npos) std::from_chars(line.data() + digits, line.data() + line.size(), kibibytes);
    return kibibytes * 1024;
  }
  return 0;
}

}  // namespace stepvideo
