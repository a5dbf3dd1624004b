// What is there under --output, and what of a prompt is not read.
#define BOOST_TEST_MODULE overwrite
#include "io/manifest.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace fs = std::filesystem;

namespace {

struct Runs {
  ScratchFolder folder;

  ProgramResult generate(const std::string& output, const StringList& more = {}) const {
    return run_program(
        with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--frames", "1", "--height",
              "16", "--width", "16", "--steps", "1", "--output", (folder / output).string()},
             more));
  }
  /// Refused, and what was there still is.
  void check_kept(const std::string& output, const StringList& more, const StringList& phrases) const {
    const std::string before = read_text(folder / output);
    check_says(generate(output, more), 2,
               with({"--output: ", "is there", "--overwrite replaces it"}, phrases));
    BOOST_CHECK(read_text(folder / output) == before);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_another_request_made_is_replaced_only_when_that_is_asked_for, Runs) {
  const StringList request{"--prompt", "a red circle"};
  check_says(generate("a.mp4", request), 0, {});
  check_says(generate("a.mp4", request), 0, {});
  check_kept("a.mp4", {"--prompt", "a blue square"}, {"prompt \"a red circle\"", "prompt \"a blue square\""});
  check_kept("a.mp4", with(request, {"--seed", "4"}), {"seed 0", "seed 4"});
  check_says(generate("a.mp4", with(request, {"--seed", "4", "--overwrite"})), 0, {});
  check_kept("a.mp4", request, {"seed 4"});
  check_says(generate("a.mp4", with(request, {"--resume", "--overwrite"})), 0, {});
}

BOOST_FIXTURE_TEST_CASE(a_file_of_somebody_else_is_kept_and_an_empty_one_is_nobodys, Runs) {
  folder.write("holiday.mp4", "not ours");
  folder.write("empty.mp4", "");
  check_kept("holiday.mp4", {"--prompt", "a"}, {"no run of this program made it"});
  check_kept("holiday.mp4", {"--prompt", "a", "--resume"}, {"no run of this program made it"});
  check_says(generate("empty.mp4", {"--prompt", "a"}), 0, {});
  check_says(generate("holiday.mp4", {"--prompt", "a", "--overwrite"}), 0, {});
}

BOOST_FIXTURE_TEST_CASE(other_commands_keep_what_is_not_theirs, Runs) {
  folder.write("text.safetensors", "weights");
  const StringList encode{"encode-text", "--model",  STEPVIDEO_DEMO_MODEL,
                          "--device",    "cpu",      "--prompt",
                          "a",           "--output", (folder / "text.safetensors").string()};
  check_says(run_program(encode), 2, {"--output: ", "--overwrite replaces it"});
  BOOST_CHECK_EQUAL(read_text(folder / "text.safetensors"), "weights");
  check_says(run_program(with(encode, {"--overwrite"})), 0, {});
  check_says(run_program(encode), 0, {});
}

BOOST_FIXTURE_TEST_CASE(a_prompt_that_is_too_long_is_told_and_noted, Runs) {
  std::string prompt = "a red circle";
  for (int i = 0; i < 90; ++i) prompt += " moves";
  const auto result = generate("a.mp4", {"--prompt", prompt});
  check_says(result, 0,
             {"warning: --prompt: CLIP reads ", " tokens; \"moves\" and what follows is lost to it"});
  const auto manifest = io::read_manifest(folder / "a.mp4").value();
  BOOST_CHECK_EQUAL(manifest["prompt"].get<std::string>(), prompt);
  BOOST_CHECK_EQUAL(manifest["cut"]["prompt"]["CLIP"]["first_lost"], "moves");
  BOOST_CHECK_LT(manifest["cut"]["prompt"]["CLIP"]["read"], manifest["cut"]["prompt"]["CLIP"]["tokens"]);
  check_says(generate("b.mp4", {"--prompt", "a", "--negative", prompt}), 0,
             {"warning: --negative: CLIP reads "});
  BOOST_CHECK(!io::read_manifest(folder / "b.mp4").value()["cut"].contains("prompt"));
}
