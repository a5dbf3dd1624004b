// How the program ends, and what it says then.
#pragma once
#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "io/printable.hpp"

namespace stepvideo {

/// Thrown where everything has been said and the program ends with a code other than 0.
struct ExitCode {
  int value;
};

/// Says on standard error why the program ends, at once: other ranks may say so at the same time. Names in it
/// cannot drive the terminal.
inline void say_failure(std::string_view why) {
  const std::string line = fmt::format("stepvideo: {}\n", io::printable_lines(why));
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace stepvideo
