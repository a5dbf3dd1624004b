// What ffmpeg and ffprobe say, where they are installed.
#pragma once
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <boost/test/unit_test.hpp>

namespace stepvideo::testing {

/// What the command writes, its errors left out. Fails unless it exits with 0.
inline std::string output_of(const std::string& command) {
  std::string output;
  std::FILE* const pipe = popen((command + " 2>/dev/null").c_str(), "r");
  BOOST_REQUIRE(pipe != nullptr);
  std::array<char, 1 << 16> block;
  for (std::size_t count = 0; (count = std::fread(block.data(), 1, block.size(), pipe)) > 0;)
    output.append(block.data(), count);
  BOOST_CHECK_EQUAL(pclose(pipe), 0);
  return output;
}

/// For boost::unit_test::precondition.
inline boost::test_tools::assertion_result has_ffmpeg(boost::unit_test::test_unit_id) {
  return std::system("ffmpeg -version >/dev/null 2>&1 && ffprobe -version >/dev/null 2>&1") == 0;
}

}  // namespace stepvideo::testing
