// Seconds and bytes as a reader likes them.
#pragma once
#include <string>

namespace stepvideo::trace {

/// "7.3 ms", "4.21 s", "5 min 07 s", "2 h 07 min".
std::string seconds_text(double seconds);
/// "812 MB", "77.6 GB".
std::string bytes_text(double bytes);

}  // namespace stepvideo::trace
