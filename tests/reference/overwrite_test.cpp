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

BOOST_FIXTURE_TEST_CASE(latents_of_another_video_are_kept, Runs) {
  check_says(generate("red.y4m", {"--prompt", "a red circle"}), 0, {});
  check_says(generate("blue.y4m", {"--prompt", "a blue square"}), 0, {});
  const auto encode = [&](const char* video) {
    return StringList{"encode",
                      "--model",
                      STEPVIDEO_DEMO_MODEL,
                      "--device",
                      "cpu",
                      "--video",
                      (folder / video).string(),
                      "--output",
                      (folder / "latents.safetensors").string()};
  };
  check_says(run_program(encode("red.y4m")), 0, {});
  check_says(run_program(encode("red.y4m")), 0, {});
  const std::string before = read_text(folder / "latents.safetensors");
  check_says(run_program(encode("blue.y4m")), 2,
             {"--output: ", "of a run with video ", "--overwrite replaces it"});
  BOOST_CHECK(read_text(folder / "latents.safetensors") == before);
  check_says(run_program(with(encode("blue.y4m"), {"--overwrite"})), 0, {});
  // The same pixels under another name and in another kind of file are the same video.
  check_says(
      run_program({"encode", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--video",
                   (folder / "blue.y4m").string(), "--output", (folder / "again.safetensors").string()}),
      0, {});
  BOOST_CHECK_EQUAL(io::read_manifest(folder / "again.safetensors").value()["video"],
                    io::read_manifest(folder / "latents.safetensors").value()["video"]);
}

BOOST_FIXTURE_TEST_CASE(what_reports_figures_and_facts_are_written_to_is_kept, Runs) {
  const std::string log = STEPVIDEO_TEST_DATA "/events/stuck",
                    page = folder.write("p.html", "<p>mine").string(),
                    json = folder.write("f.json", "{}").string();
  const auto twice = [](const StringList& arguments) {
    check_says(run_program(arguments), 2, {" is there; --overwrite replaces it, another name keeps it"});
  };
  const StringList report{"report", log, "-o", page}, record{"doctor", "--gpus", "0", "--record", json};
  twice(report);
  check_says(run_program(with(report, {"--overwrite"})), 0, {});
  check_says(run_program(report), 0, {});
  twice(record);
  BOOST_CHECK_LT(run_program(with(record, {"--overwrite"})).exit_code, 2);  // 1: fit with warnings
  BOOST_CHECK_LT(run_program(record).exit_code, 2);
  twice({"bench", "kernels", "--device", "cuda", "--json", json});
  twice({"bench", "linear", "--save", json});
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
