// The demo model through the command line: what a newcomer sees, and what a script may rely on.
#define BOOST_TEST_MODULE generate
#include <csignal>
#include <cstdio>

#include "io/safetensors.hpp"
#include "io/video.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;

/// `generate` with few steps, into the folder; returns the file's bytes.
std::string generate(const ScratchFolder& folder, const std::string& name, std::vector<std::string> more,
                     const std::string& environment = "") {
  std::vector<std::string> arguments = {"generate", "--model", demo,       "--steps",
                                        "2",        "--quiet", "--output", (folder / name).string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto result = testing::run_program(arguments, environment);
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK_EQUAL(result.errors + result.output, "");
  return testing::read_text(folder / name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_prompt_becomes_a_playable_mp4_of_the_size_asked_for) {
  const ScratchFolder folder;
  generate(folder, "clip.mp4", {"--prompt", "a red circle moves to the right", "--frames", "34"});
  const io::Video video = io::read_video(folder / "clip.mp4");
  BOOST_CHECK(video.shape == (VideoShape{34, 96, 96}));
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}

BOOST_AUTO_TEST_CASE(the_same_request_gives_the_same_bytes_for_any_number_of_threads) {
  const ScratchFolder folder;
  const std::vector<std::string> prompt = {"--prompt", "一个蓝色的方块向下移动", "--seed", "11"};
  const auto first = generate(folder, "a.mp4", prompt, "OMP_NUM_THREADS=1");
  BOOST_CHECK(first == generate(folder, "b.mp4", prompt, "OMP_NUM_THREADS=2"));
  BOOST_CHECK(first == generate(folder, "c.mp4", prompt, "OMP_NUM_THREADS=5"));
  const auto raw = generate(folder, "a.safetensors", prompt, "OMP_NUM_THREADS=1");
  BOOST_CHECK(raw == generate(folder, "b.safetensors", prompt, "OMP_NUM_THREADS=3"));
}

BOOST_AUTO_TEST_CASE(seed_prompt_and_negative_prompt_all_act) {
  const ScratchFolder folder;
  const auto base = generate(folder, "a.safetensors", {"--prompt", "a red circle", "--seed", "1"});
  BOOST_CHECK(base != generate(folder, "b.safetensors", {"--prompt", "a red circle", "--seed", "2"}));
  BOOST_CHECK(base != generate(folder, "c.safetensors", {"--prompt", "a blue circle", "--seed", "1"}));
  BOOST_CHECK(base != generate(folder, "d.safetensors",
                               {"--prompt", "a red circle", "--seed", "1", "--negative", "blue"}));
  BOOST_CHECK(base != generate(folder, "e.safetensors",
                               {"--prompt", "a red circle", "--seed", "1", "--cfg-scale", "1"}));
  BOOST_CHECK(base != generate(folder, "f.safetensors",
                               {"--prompt", "a red circle", "--seed", "1", "--time-shift", "2"}));
}

BOOST_AUTO_TEST_CASE(an_empty_prompt_is_allowed) {
  const ScratchFolder folder;
  BOOST_CHECK_NE(generate(folder, "a.mp4", {"--prompt", ""}), "");
}

BOOST_AUTO_TEST_CASE(fit_takes_the_nearest_valid_size_and_says_so) {
  const ScratchFolder folder;
  const auto result = testing::run_program({"generate", "--model", demo, "--prompt", "a green triangle",
                                            "--steps", "1", "--frames", "20", "--height", "100", "--width",
                                            "90", "--fit", "--output", (folder / "a.safetensors").string()});
  BOOST_REQUIRE_EQUAL(result.exit_code, 0);
  BOOST_CHECK_NE(result.errors.find("17 frames of 96x96"), std::string::npos);
  BOOST_CHECK(io::read_video(folder / "a.safetensors").shape == (VideoShape{17, 96, 96}));
}

BOOST_AUTO_TEST_CASE(the_parts_give_what_generate_gives) {
  const ScratchFolder folder;
  const std::string text = (folder / "text.safetensors").string(),
                    latents = (folder / "latents.safetensors").string(),
                    video = (folder / "video.safetensors").string();
  const auto whole = generate(folder, "whole.safetensors", {"--prompt", "a cyan square", "--seed", "5"});
  const auto run = [](const std::vector<std::string>& arguments) {
    const auto result = testing::run_program(arguments);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  };
  run({"encode-text", "--model", demo, "--prompt", "a cyan square", "--output", text, "--quiet"});
  run({"denoise", "--model", demo, "--conditioning", text, "--steps", "2", "--seed", "5", "--output", latents,
       "--quiet"});
  run({"decode", "--model", demo, "--latents", latents, "--output", video, "--quiet"});
  BOOST_CHECK(io::SafetensorsFile::open(video).tensors().at("video").bytes.size() > 0);
  BOOST_CHECK(testing::read_text(video) == whole);
}

BOOST_AUTO_TEST_CASE(an_interrupt_stops_between_steps_and_leaves_no_file) {
  const ScratchFolder folder;
  const std::string output = (folder / "a.mp4").string(), log = (folder / "err").string();
  // 5000 steps take minutes; the interrupt comes after two seconds, once: without --foreground it would go to the
  // process group as well, and a second one ends the program at once.
  const std::string line =
      "timeout --foreground --preserve-status --signal=INT 2 '" STEPVIDEO_PROGRAM "' generate --model '" + demo +
      "' --prompt 'a red circle' --steps 5000 --output '" + output + "' 2>'" + log + "'";
  const int status = std::system(line.c_str());
  BOOST_CHECK(WIFEXITED(status));
  BOOST_CHECK_EQUAL(WEXITSTATUS(status), 1);
  const std::string errors = testing::read_text(log);
  BOOST_CHECK_MESSAGE(errors.find("interrupted after step ") != std::string::npos, errors);
  BOOST_CHECK_MESSAGE(errors.find("of 5000") != std::string::npos, errors);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);  // the log alone
}

BOOST_AUTO_TEST_CASE(stages_and_their_cost_are_reported) {
  const ScratchFolder folder;
  const auto result = testing::run_program({"generate", "--model", demo, "--prompt", "a red circle",
                                            "--steps", "2", "--output", (folder / "a.mp4").string()});
  BOOST_REQUIRE_EQUAL(result.exit_code, 0);
  for (const std::string word : {"denoise", "decode", "peak"})
    BOOST_CHECK_MESSAGE(result.errors.find(word) != std::string::npos,
                        "no '" << word << "' in: " << result.errors);
  BOOST_CHECK_EQUAL(result.errors.find('\r'), std::string::npos);  // not a terminal: plain lines
}
