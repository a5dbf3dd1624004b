// Seeds that chance chooses, and several videos of one prompt.
#define BOOST_TEST_MODULE seeds
#include <cstdint>

#include "commands/seed.hpp"
#include "io/manifest.hpp"
#include "io/video.hpp"
#include "support/program.hpp"
#include "support/refused.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace fs = std::filesystem;

namespace {

struct Runs {
  ScratchFolder folder;

  std::string path(const std::string& name) const { return (folder / name).string(); }
  /// A video of few pixels in two steps, without times in its manifest.
  ProgramResult generate(const std::string& output, const StringList& more,
                         const std::string& frames = "1") const {
    return run_program(
        with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--frames", frames, "--height",
              "32", "--width", "32", "--steps", "2", "--reproducible", "--output", path(output)},
             more));
  }
  std::uint64_t seed_of(const std::string& name) const {
    return io::read_manifest(path(name)).value_or(io::Json::object()).value("seed", std::uint64_t{0});
  }
  void check_same(const std::string& one, const std::string& other) const {
    BOOST_CHECK_MESSAGE(read_text(folder / one) == read_text(folder / other), one << " and " << other);
  }
};

const StringList circle{"--prompt", "a red circle"}, random_circle = with(circle, {"--seed", "random"});

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_random_seed_is_said_and_recorded_and_repeats_the_video, Runs) {
  const auto told = generate("a.safetensors", random_circle);
  const std::string seed = std::to_string(seed_of("a.safetensors"));
  check_says(told, 0, {"seed " + seed + ", drawn at random", "--seed " + seed + " repeats it"});
  check_says(generate("again.safetensors", with(circle, {"--seed", seed})), 0, {});
  check_same("a.safetensors", "again.safetensors");
  check_says(generate("b.safetensors", with(circle, {"--seed", "RANDOM"})), 0, {});
  BOOST_CHECK_NE(seed_of("b.safetensors"), seed_of("a.safetensors"));  // once in 4 billion runs
}

BOOST_FIXTURE_TEST_CASE(a_run_goes_on_with_the_seed_that_was_drawn, Runs) {
  check_says(generate("a.safetensors", with(random_circle, {"--stop-after", "1"})), 0, {});
  const std::uint64_t seed = seed_of("a.safetensors.steps.safetensors");
  check_says(generate("a.safetensors", with(random_circle, {"--resume"})), 0, {});
  BOOST_CHECK_EQUAL(seed_of("a.safetensors"), seed);
  check_says(generate("a.safetensors", with(random_circle, {"--resume"})), 0, {"is there already"});
  check_says(generate("a.safetensors", random_circle), 2, {"--overwrite replaces it", "seed"});
}

BOOST_AUTO_TEST_CASE(what_is_no_seed_is_refused) {
  BOOST_CHECK_EQUAL(commands::parse_seed("--seed", "18446744073709551615").number.value(), ~std::uint64_t{0});
  for (const char* const text : {"", "-1", "1.5", "18446744073709551616", "randomly"})
    check_refused([&] { commands::parse_seed("--seed", text); }, "--seed: '");
}

BOOST_FIXTURE_TEST_CASE(several_videos_of_a_prompt_have_seeds_in_a_row, Runs) {
  const auto told = generate("clip.safetensors",
                             with(circle, {"--seed", "7", "--count", "3", "--log-file", path("log.ndjson")}));
  check_says(told, 0, {"clip-001.safetensors: ", "seed 7;", "clip-003.safetensors: ", "seed 9;"});
  BOOST_CHECK(!fs::exists(folder / "clip.safetensors"));
  for (int index = 0; index < 3; ++index) {
    const std::string alone = "alone-" + std::to_string(index) + ".safetensors";
    check_says(generate(alone, with(circle, {"--seed", std::to_string(7 + index)})), 0, {});
    check_same("clip-00" + std::to_string(index + 1) + ".safetensors", alone);
  }
  const std::string log = read_text(folder / "log.ndjson"),
                    load = R"("stage":"load transformer","event":"begin")";
  BOOST_CHECK_EQUAL(log.find(load), log.rfind(load));

  const auto more = generate("clip.safetensors", with(circle, {"--seed", "7", "--count", "4", "--resume"}));
  check_says(more, 0, {"clip-004.safetensors: "});
  BOOST_CHECK_EQUAL(seed_of("clip-004.safetensors"), 10u);
}

BOOST_FIXTURE_TEST_CASE(several_random_seeds_differ_and_a_folder_is_numbered_too, Runs) {
  check_says(generate("frames/", with(random_circle, {"--count", "2"})), 0,
             {"frames-001/: seed ", "frames-002/: seed "});
  BOOST_CHECK(fs::exists(folder / "frames-002/frame_00000.png"));
  BOOST_CHECK_NE(seed_of("frames-001"), seed_of("frames-002"));
}

BOOST_FIXTURE_TEST_CASE(a_line_of_a_batch_may_ask_for_a_random_seed, Runs) {
  const auto prompts = folder.write("prompts.txt", R"({"prompt": "a red circle", "seed": "random"})"
                                                   "\n"
                                                   R"({"prompt": "a red circle", "seed": 5})");
  check_says(generate("out", {"--prompts", prompts.string()}), 0, {"001.mp4: seed "});
  BOOST_CHECK_EQUAL(seed_of("out/002.mp4"), 5u);
  folder.write("prompts.txt", R"({"prompt": "a red circle", "seed": "seven"})");
  check_says(generate("other", {"--prompts", prompts.string()}), 2, {"line 1", "\"seed\"", "'seven'"});
}

BOOST_FIXTURE_TEST_CASE(counts_that_do_not_go_are_refused, Runs) {
  const auto prompts = folder.write("prompts.txt", "a red circle\n");
  check_says(generate("a.mp4", with(circle, {"--count", "0"})), 2, {"--count is 0; 1 to 10000 works"});
  check_says(generate("out", {"--prompts", prompts.string(), "--count", "2"}), 2, {"--count and --prompts"});
  check_says(generate("a.mp4", with(circle, {"--count", "2", "--stop-after", "1"})), 2,
             {"--stop-after and --count"});
  check_says(generate("a.mp4", with(circle, {"--count", "2", "--seed", "18446744073709551615"})), 2,
             {"--seed 18446744073709551615"});
}
