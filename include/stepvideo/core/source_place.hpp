// Where a call stands in the source.
#pragma once

#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// What std::source_location is, which clang before 16 has not. As a default argument it is the caller's
/// place:
///     void check(int status, SourcePlace at = SourcePlace::here());
struct SourcePlace {
  const char* file = "";
  int line = 0;

  static constexpr SourcePlace here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace stepvideo
