// Seconds and bytes as a reader likes them.
#pragma once
#include <string>

namespace stepvideo::trace {

/// "7.3 ms", "4.21 s", "5 min 07 s", "2 h 07 min".
std::string seconds_text(double seconds);
/// "42 B", "1.5 kB", "812 MB", "77.6 GB": decimal units, as disks and files are sold.
std::string bytes_text(double bytes);

}  // namespace stepvideo::trace
