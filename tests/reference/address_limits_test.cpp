// Runs that may use few addresses.
#define BOOST_TEST_MODULE address_limits
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(a_limit_of_addresses_ends_in_a_video_or_a_sentence_and_never_in_waiting) {
  bool has_refused = false, has_made = false;
  const auto limited = [](int mebibytes) {
    return "ulimit -v " + std::to_string(mebibytes << 10) + "; OMP_NUM_THREADS=2 timeout -k 1 60";
  };
  std::vector<int> limits{4000};
  for (int mebibytes = 160; mebibytes <= 800; mebibytes += 20) limits.push_back(mebibytes);
  for (const int mebibytes : limits) {
    // Where the loader finds no room for the libraries, no sentence can be the program's.
    if (run_program({"--version"}, limited(mebibytes)).exit_code != 0) continue;
    const ScratchFolder folder;
    const std::string output = (folder / "a.mp4").string();
    const auto result = run_program(
        {"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt", "a", "--frames", "17",
         "--height", "32", "--width", "48", "--steps", "3", "--quiet", "--output", output},
        limited(mebibytes));
    BOOST_TEST_CONTEXT("ulimit -v of " << mebibytes << " MiB: exit " << result.exit_code << ", "
                                       << result.errors) {
      BOOST_CHECK(result.exit_code == 0 ? std::filesystem::exists(output)
                                        : result.exit_code <= 2 && result.errors.starts_with("stepvideo: "));
      has_made |= result.exit_code == 0;
      has_refused |= result.errors.find("ulimit -v leaves") != std::string::npos;
    }
  }
  BOOST_CHECK(has_made);
  BOOST_CHECK(has_refused);
}
