// The demo model through the command line: what a newcomer sees, and what a script may rely on.
#define BOOST_TEST_MODULE generate
#include <csignal>
#include <cstdio>
#include <span>

#include "io/manifest.hpp"
#include "io/safetensors.hpp"
#include "io/video.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;

/// `generate` with few steps and without times in the manifest, into the folder; returns the file's bytes.
std::string generate(const ScratchFolder& folder, const std::string& name, std::vector<std::string> more,
                     const std::string& environment = "") {
  std::vector<std::string> arguments = {
      "generate",      "--model", demo, "--steps", "2", "--quiet", "--output", (folder / name).string(),
      "--reproducible"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto result = testing::run_program(arguments, environment);
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK_EQUAL(result.errors + result.output, "");
  return testing::read_text(folder / name);
}

/// The values of a tensor video, as bytes.
std::string frames_of(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  const auto bytes = file.tensors().at("video").bytes;
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
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
  generate(folder, "whole.safetensors", {"--prompt", "a cyan square", "--seed", "5"});
  const auto run = [](const std::vector<std::string>& arguments) {
    const auto result = testing::run_program(arguments);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  };
  run({"encode-text", "--model", demo, "--prompt", "a cyan square", "--output", text, "--quiet"});
  run({"denoise", "--model", demo, "--conditioning", text, "--steps", "2", "--seed", "5", "--output", latents,
       "--quiet"});
  run({"decode", "--model", demo, "--latents", latents, "--output", video, "--quiet"});
  BOOST_CHECK(frames_of(video).size() > 0);
  BOOST_CHECK(frames_of(video) == frames_of(folder / "whole.safetensors"));
}

BOOST_AUTO_TEST_CASE(an_interrupt_stops_between_steps_and_keeps_the_latents_beside_the_output) {
  const ScratchFolder folder;
  const std::string output = (folder / "a.mp4").string(), log = (folder / "events").string();
  // 5000 steps take minutes.
  const auto result = testing::interrupt_at({"generate", "--model", demo, "--prompt", "a red circle",
                                             "--steps", "5000", "--output", output, "--log-file", log},
                                            log, "\"step\"");
  testing::check_says(result, 130,
                      {"stopping after this step", "again stops now", "interrupted after step ", "of 5000",
                       "a.mp4.steps.safetensors holds the work", "--resume"});
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);  // the log and the work
  const int step =
      io::read_manifest(output + ".steps.safetensors").value_or(io::Json::object()).value("step", 0);
  BOOST_CHECK_MESSAGE(
      result.errors.find("interrupted after step " + std::to_string(step) + " of") != std::string::npos,
      result.errors);
}

BOOST_AUTO_TEST_CASE(like_repeats_a_run_bit_for_bit_and_flags_override_it) {
  const ScratchFolder folder;
  const std::vector<std::string> asked = {"--prompt",     "一个\"红色\"的圆",
                                          "--negative",   "blue",
                                          "--seed",       "18446744073709551615",
                                          "--height",     "32",
                                          "--width",      "48",
                                          "--cfg-scale",  "3.3",
                                          "--time-shift", "1.7"};
  std::vector<std::string> other_seed = asked;
  other_seed[5] = "3";
  generate(folder, "first.safetensors", asked);
  generate(folder, "seed.safetensors", other_seed);
  const auto like = [&](const std::string& output, std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", "--output", (folder / output).string(), "--quiet"});
    return testing::run_program(more);
  };
  const auto timed =
      testing::run_program({"generate", "--model", demo, "--output", (folder / "timed.mp4").string(),
                            "--like", (folder / "first.safetensors").string()});
  BOOST_REQUIRE_MESSAGE(timed.exit_code == 0, timed.errors);
  // The mp4's manifest tells where the model is, and repeats the run of the tensors that it was made like.
  BOOST_REQUIRE_EQUAL(like("again.safetensors", {"--like", (folder / "timed.mp4").string()}).exit_code, 0);
  BOOST_CHECK(frames_of(folder / "again.safetensors") == frames_of(folder / "first.safetensors"));
  BOOST_REQUIRE_EQUAL(like("again.mp4", {"--like", (folder / "timed.mp4").string()}).exit_code, 0);
  const auto first = io::read_video(folder / "timed.mp4"), second = io::read_video(folder / "again.mp4");
  BOOST_CHECK(std::ranges::equal(first.pixels, second.pixels));
  BOOST_REQUIRE_EQUAL(
      like("other.safetensors", {"--like", (folder / "timed.mp4").string(), "--seed", "3"}).exit_code, 0);
  BOOST_CHECK(frames_of(folder / "other.safetensors") == frames_of(folder / "seed.safetensors"));
}

BOOST_AUTO_TEST_CASE(like_says_when_the_model_is_another) {
  const ScratchFolder folder;
  std::filesystem::copy(demo, folder / "model", std::filesystem::copy_options::recursive);
  const std::string model = (folder / "model").string(), made = (folder / "made.safetensors").string(),
                    output = (folder / "again.safetensors").string();
  const auto run = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", "--steps", "1", "--height", "32", "--width", "32"});
    return testing::run_program(more);
  };
  BOOST_REQUIRE_EQUAL(run({"--model", model, "--prompt", "a circle", "--output", made}).exit_code, 0);
  folder.write("model/vae/vae_v2.safetensors", testing::read_text(demo + "/vae/vae_v2.safetensors"));
  const auto same = run({"--like", made, "--output", output});
  BOOST_CHECK_MESSAGE(same.exit_code == 0, same.errors);
  folder.write("model/transformer/config.json", testing::read_text(demo + "/transformer/config.json") + " ");
  const auto refused = run({"--like", made, "--output", output, "--quiet"});
  BOOST_CHECK_EQUAL(refused.exit_code, 2);
  for (const std::string phrase : {"--like", "the transformer of", "made.safetensors", "--model"})
    BOOST_CHECK_MESSAGE(refused.errors.find(phrase) != std::string::npos, refused.errors);
  const auto told = run({"--like", made, "--model", model, "--output", output, "--overwrite"});
  BOOST_CHECK_EQUAL(told.exit_code, 0);
  BOOST_CHECK_MESSAGE(told.errors.find("the video will differ") != std::string::npos, told.errors);
}

BOOST_AUTO_TEST_CASE(like_needs_a_video_that_generate_made) {
  const ScratchFolder folder;
  const auto refused = [&](const std::string& like, const std::string& phrase) {
    const auto result =
        testing::run_program({"generate", "--like", like, "--output", (folder / "a.mp4").string()});
    BOOST_CHECK_EQUAL(result.exit_code, 2);
    BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos, result.errors);
  };
  refused((folder / "none.mp4").string(), "none.mp4 is not there");
  refused(demo + "/vae/vae_v2.safetensors", "carries no manifest");
  const std::vector<float> value(1, 0.5f);
  const auto write = [&](const std::string& manifest) {
    io::write_safetensors(folder / "m.safetensors",
                          {{"video", io::Dtype::f32, {1}, std::as_bytes(std::span(value))}},
                          {{"manifest", manifest}});
    return (folder / "m.safetensors").string();
  };
  refused(write(R"({"stepvideo": "1", "command": "encode"})"), "was not made by generate");
  refused(write(R"({"stepvideo": "1", "command": "generate", "model": {"path": "/m"}})"), "no field");
  refused(write(R"({"stepvideo": "1", "command": "generate"})"), "--model is missing");
  refused(
      write(
          R"({"stepvideo": "1", "command": "generate", "model": {"path": "/m"}, "prompt": "x", "negative": "",
      "seed": 1, "frames": 20, "height": 16, "width": 16, "steps": 1, "cfg_scale": 1, "time_shift": 1, "precision": "fp32"})"),
      "20 frames");
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
