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
  const auto [peak, resident] = read();
  return peak > 0 && peak <= resident + slack_bytes;
}

std::uint64_t PeakMemory::bytes() const {
  return read().peak;
}

PeakMemory::Sizes PeakMemory::read() const {
  Sizes sizes;
  std::ifstream status(process_ / "status");
  for (std::string line; std::getline(status, line) && (sizes.peak == 0 || sizes.resident == 0);) {
    std::uint64_t* const size = line.starts_with("VmHWM:")   ? &sizes.peak
                                : line.starts_with("VmRSS:") ? &sizes.resident
                                                             : nullptr;
    const auto digits = line.find_first_of("0123456789");
    if (size == nullptr || digits == line.npos) continue;
    std::from_chars(line.data() + digits, line.data() + line.size(), *size);
    *size *= 1024;
  }
  return sizes;
}

}  // namespace stepvideo
