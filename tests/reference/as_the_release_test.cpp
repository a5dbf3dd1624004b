// What the release does beside its model, chosen or declined: words that every prompt gets, its roundings.
#define BOOST_TEST_MODULE as_the_release
#include <algorithm>

#include "io/manifest.hpp"
#include "io/safetensors.hpp"
#include "io/video.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;

/// The demo model, whose index may have words of its own.
struct Runs {
  ScratchFolder folder;

  Runs() { fs::copy(demo, folder / "model", fs::copy_options::recursive); }

  std::string model() const { return (folder / "model").string(); }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  void set_words(const std::string& suffix, const std::string& negative) const {
    io::Json index = io::Json::parse(read_text(demo + "/model_index.json"));
    index["generation"]["prompt_suffix"] = suffix;
    index["generation"]["negative"] = negative;
    folder.write("model/model_index.json", index.dump());
  }
  ProgramResult run(const StringList& arguments) const {
    return run_program(with(arguments, {"--device", "cpu"}));
  }
  /// A video of few pixels in two steps.
  ProgramResult generate(const std::string& output, const StringList& more) const {
    return run(with({"generate", "--frames", "17", "--height", "32", "--width", "32", "--steps", "2",
                     "--output", path(output)},
                    more));
  }
  io::Json manifest(const std::string& name) const {
    return io::read_manifest(path(name)).value_or(io::Json::object());
  }
  std::string values(const std::string& name, const std::string& tensor = "video") const {
    const auto file = io::SafetensorsFile::open(path(name));
    const auto bytes = file.tensors().at(tensor).bytes;
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_models_own_words_are_every_prompts_and_flags_override_them, Runs) {
  set_words(", slowly", "blue");
  const StringList circle{"--prompt", "a red circle"};
  const auto told = generate("own.safetensors", with({"--model", model()}, circle));
  check_says(told, 0, {"every prompt ends with \", slowly\"", "negative prompt \"blue\""});
  const io::Json made = manifest("own.safetensors");
  BOOST_CHECK_EQUAL(made.value("prompt", ""), "a red circle");
  BOOST_CHECK_EQUAL(made.value("prompt_suffix", ""), ", slowly");
  BOOST_CHECK_EQUAL(made.value("negative", ""), "blue");

  check_says(generate("spelled.safetensors",
                      {"--model", demo, "--prompt", "a red circle, slowly", "--negative", "blue"}),
             0, {});
  BOOST_CHECK(values("own.safetensors") == values("spelled.safetensors"));

  check_says(generate("none.safetensors",
                      with({"--model", model(), "--prompt-suffix", "", "--negative", ""}, circle)),
             0, {});
  BOOST_CHECK(!manifest("none.safetensors").contains("prompt_suffix"));
  const auto plain = generate("plain.safetensors", with({"--model", demo}, circle));
  check_says(plain, 0, {});
  BOOST_CHECK_MESSAGE(plain.errors.find("every prompt ends") == std::string::npos, plain.errors);
  BOOST_CHECK(values("none.safetensors") == values("plain.safetensors"));
  BOOST_CHECK(values("own.safetensors") != values("plain.safetensors"));
}

BOOST_FIXTURE_TEST_CASE(text_that_is_encoded_alone_gets_the_same_words, Runs) {
  set_words(", slowly", "blue");
  const auto encode = [&](const std::string& name, const StringList& more) {
    const auto result = run(with({"encode-text", "--output", path(name)}, more));
    check_says(result, 0, {});
    return values(name, "encoder_hidden_states");
  };
  const auto own = encode("own.safetensors", {"--model", model(), "--prompt", "a red circle"});
  BOOST_CHECK(own == encode("spelled.safetensors",
                            {"--model", demo, "--prompt", "a red circle, slowly", "--negative", "blue"}));
  BOOST_CHECK_EQUAL(manifest("own.safetensors").value("prompt_suffix", ""), ", slowly");
}

BOOST_FIXTURE_TEST_CASE(a_line_of_a_batch_may_have_words_of_its_own, Runs) {
  set_words(", slowly", "blue");
  const auto prompts = folder.write("prompts.txt",
                                    "a red circle\n"
                                    R"({"prompt": "a red circle", "prompt_suffix": "!", "negative": "red"})");
  check_says(run({"generate", "--model", model(), "--frames", "1", "--height", "32", "--width", "32",
                  "--steps", "1", "--prompts", prompts.string(), "--output", path("out")}),
             0, {});
  BOOST_CHECK_EQUAL(manifest("out/001.mp4").value("prompt_suffix", ""), ", slowly");
  BOOST_CHECK_EQUAL(manifest("out/002.mp4").value("prompt_suffix", ""), "!");
  BOOST_CHECK_EQUAL(manifest("out/002.mp4").value("negative", ""), "red");
}

BOOST_FIXTURE_TEST_CASE(a_run_goes_on_with_the_words_it_began_with, Runs) {
  set_words(", slowly", "blue");
  const StringList circle{"--model", model(), "--prompt", "a red circle"};
  check_says(generate("whole.safetensors", circle), 0, {});
  check_says(generate("v.safetensors", with(circle, {"--stop-after", "1"})), 0, {"--stop-after"});
  set_words(", fast", "red");
  check_says(generate("v.safetensors", {"--resume", "--prompt-suffix", ", fast"}), 2,
             {"v.safetensors.steps.safetensors", "prompt_suffix \", slowly\"", "prompt_suffix \", fast\""});
  check_says(run({"generate", "--resume", "--output", path("v.safetensors")}), 0, {"every prompt ends with"});
  BOOST_CHECK(values("v.safetensors") == values("whole.safetensors"));
}

BOOST_FIXTURE_TEST_CASE(the_releases_numerics_are_said_recorded_and_kept, Runs) {
  const StringList circle{"--model", demo, "--prompt", "a red circle", "--precision", "bf16"};
  check_says(generate("exact.safetensors", with(circle, {"--numerics", "exact"})), 0, {});
  BOOST_CHECK(!manifest("exact.safetensors").contains("numerics"));
  check_says(generate("release.safetensors", with(circle, {"--numerics", "release"})), 0,
             {"rounded to bf16", "\"release\""});
  BOOST_CHECK_EQUAL(manifest("release.safetensors").value("numerics", ""), "release");
  BOOST_CHECK(values("exact.safetensors") != values("release.safetensors"));

  check_says(generate("like.safetensors", {"--like", path("release.safetensors")}), 0, {"\"release\""});
  BOOST_CHECK(values("like.safetensors") == values("release.safetensors"));
  check_says(generate("v.safetensors", with(circle, {"--numerics", "release", "--stop-after", "1"})), 0, {});
  check_says(generate("v.safetensors", with(circle, {"--resume", "--numerics", "exact"})), 2,
             {"numerics \"release\"", "no numerics"});
  check_says(generate("v.safetensors", {"--resume"}), 0, {});
  BOOST_CHECK(values("v.safetensors") == values("release.safetensors"));
}

BOOST_FIXTURE_TEST_CASE(numerics_that_do_not_go_are_refused, Runs) {
  const StringList circle{"--model", demo, "--prompt", "a red circle"};
  check_says(generate("v.mp4", with(circle, {"--numerics", "release", "--precision", "fp32"})), 2,
             {"--numerics release", "fp32", "--precision bf16"});
  check_says(generate("v.mp4", with(circle, {"--numerics", "rounded"})), 2,
             {"--numerics: 'rounded'", "exact", "release"});
}

BOOST_FIXTURE_TEST_CASE(the_middle_of_the_frames_is_kept_told_and_taken_over, Runs) {
  const StringList circle{"--model", demo, "--prompt", "a red circle"};
  check_says(generate("v.mp4", with(circle, {"--crop", "24x16"})), 0,
             {"(width x height): \"24x16\"", " of 24x16"});
  BOOST_CHECK(io::read_video(path("v.mp4")).shape == (VideoShape{17, 16, 24}));
  BOOST_CHECK_EQUAL(manifest("v.mp4").value("crop", ""), "24x16");
  check_says(generate("v.mp4", with(circle, {"--resume", "--crop", "24x16"})), 0, {"is there already"});
  check_says(generate("v.mp4", with(circle, {"--resume", "--crop", "24x18"})), 2,
             {"--crop 24x16", "--crop 24x18", "give what it had"});

  check_says(generate("l.safetensors", with(circle, {"--stop-after", "1", "--crop", "24x16"})), 0, {});
  check_says(generate("l.safetensors", {"--resume"}), 0, {"24x16"});
  BOOST_CHECK(io::read_video(path("l.safetensors")).shape == (VideoShape{17, 16, 24}));
  check_says(generate("like.safetensors", {"--like", path("v.mp4")}), 0, {"24x16"});
  BOOST_CHECK(values("like.safetensors") == values("l.safetensors"));

  check_says(generate("w.mp4", with(circle, {"--crop", "64x16"})), 2, {"--crop: 64x16", "32x32"});
  check_says(generate("w.mp4", with(circle, {"--crop", "23x16"})), 2, {"--crop: '23x16'", "960x540"});
}

BOOST_FIXTURE_TEST_CASE(frames_are_averaged_where_that_is_asked_for_and_decode_does_the_same, Runs) {
  const StringList circle{"--model", demo, "--prompt", "a red circle"};
  const auto made = generate("v.mp4", with(circle, {"--denoise", "--keep-latents"}));
  if (made.exit_code == 2 && made.errors.find("--denoise needs") != std::string::npos)
    return;  // no filter here
  check_says(made, 0, {"frames averaged over time"});
  BOOST_CHECK(manifest("v.mp4").value("denoise", false));
  const auto decode = [&](const std::string& name, const StringList& more) {
    check_says(run(with({"decode", "--model", demo, "--latents", path("v.mp4.latents.safetensors"),
                         "--output", path(name)},
                        more)),
               0, {});
    return io::read_video(path(name));
  };
  const auto whole = io::read_video(path("v.mp4")), again = decode("d.mp4", {"--denoise"}),
             plain = decode("p.mp4", {});
  BOOST_CHECK(std::ranges::equal(whole.pixels, again.pixels));
  BOOST_CHECK(!std::ranges::equal(whole.pixels, plain.pixels));
  const auto cropped = decode("c.mp4", {"--denoise", "--crop", "24x16"});
  BOOST_CHECK(cropped.shape == (VideoShape{17, 16, 24}));
  check_says(generate("v.mp4", with(circle, {"--resume"})), 2, {"--denoise", "give what it had"});
  check_says(generate("w.safetensors", with(circle, {"--denoise"})), 2, {"--denoise: ", "w.safetensors"});
}
