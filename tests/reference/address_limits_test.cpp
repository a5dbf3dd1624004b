// Runs that may use few addresses.
#define BOOST_TEST_MODULE address_limits
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(a_limit_of_addresses_ends_in_a_video_or_a_sentence_and_never_in_waiting) {
  bool has_refused = false;
  for (const char* const kibibytes : {"250000", "400000", "500000", "550000", "600000", "4000000"}) {
    const ScratchFolder folder;
    const std::string output = (folder / "a.mp4").string();
    const auto result = run_program(
        {"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt", "a", "--frames", "17",
         "--height", "32", "--width", "48", "--steps", "3", "--quiet", "--output", output},
        std::string("ulimit -v ") + kibibytes + "; OMP_NUM_THREADS=2 timeout -k 1 60");
    BOOST_TEST_CONTEXT("ulimit -v " << kibibytes << ": exit " << result.exit_code << ", " << result.errors) {
      BOOST_CHECK(result.exit_code == 0 ? std::filesystem::exists(output)
                                        : result.exit_code <= 2 && result.errors.starts_with("stepvideo: "));
      has_refused |= result.errors.find("ulimit -v leaves") != std::string::npos;
    }
  }
  BOOST_CHECK(has_refused);
}
