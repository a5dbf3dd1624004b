// What a run finds beside its output, and what it says when neither can be written.
#define BOOST_TEST_MODULE resume_edges
#include <span>

#include "io/manifest.hpp"
#include "io/safetensors.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder, testing::check_says, testing::files_of_at_most;
namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;
using Arguments = std::vector<std::string>;

testing::ProgramResult generate(const fs::path& output, const Arguments& more = {},
                                const std::string& environment = "") {
  Arguments arguments{"generate", "--model", demo, "--prompt", "a red circle",  "--height",
                      "32",       "--width", "32", "--output", output.string(), "--reproducible"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return testing::run_program(arguments, environment);
}

fs::path step_file_of(const fs::path& output) {
  return output.string() + ".steps.safetensors";
}

/// The same tensors with another manifest.
void replace_manifest(const fs::path& path, const io::Json& manifest) {
  std::vector<std::vector<std::byte>> contents;
  std::vector<io::NamedTensor> tensors;
  {
    const auto file = io::SafetensorsFile::open(path);
    contents.reserve(file.tensors().size());
    for (const auto& [name, record] : file.tensors()) {
      contents.emplace_back(record.bytes.begin(), record.bytes.end());
      tensors.push_back({name, record.dtype, record.shape, contents.back()});
    }
  }
  io::write_safetensors(path, tensors, {{"manifest", io::manifest_text(manifest)}});
}

/// The predictions that an event log tells, stage by stage.
std::vector<std::string> predictions_in(const fs::path& log) {
  std::vector<std::string> predictions;
  std::istringstream lines(testing::read_text(log));
  for (std::string line; std::getline(lines, line);) {
    const auto event = io::parse_json(line, log.string());
    if (event.contains("predicted_seconds") && event.value("event", "") == "end")
      predictions.push_back(event["stage"].get<std::string>() + " " + event["predicted_seconds"].dump());
  }
  return predictions;
}

}  // namespace

BOOST_AUTO_TEST_CASE(where_neither_latents_nor_video_can_be_written_no_command_is_said_to_finish_the_job) {
  const ScratchFolder folder;
  const auto result = generate(folder / "v.safetensors", {"--steps", "2"}, files_of_at_most(32));
  check_says(result, 1, {"v.safetensors cannot be written", "the latents are lost, too"});
  BOOST_CHECK_EQUAL(result.errors.find("finishes the job"), std::string::npos);
  BOOST_CHECK_EQUAL(folder.names().size(), 0u);
}

BOOST_AUTO_TEST_CASE(latents_that_cannot_be_kept_are_an_error_and_stay_in_the_step_file) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.mp4";
  fs::create_directory(output.string() + ".latents.safetensors");
  check_says(generate(output, {"--steps", "2", "--quiet", "--keep-latents"}), 1,
             {"v.mp4 is there, but not its latents", "v.mp4.latents.safetensors",
              "v.mp4.steps.safetensors holds them"});
  BOOST_CHECK(fs::exists(output));
  fs::remove(output.string() + ".latents.safetensors");
  check_says(generate(output, {"--steps", "2", "--quiet", "--keep-latents", "--resume"}), 0, {});
  BOOST_CHECK(fs::is_regular_file(output.string() + ".latents.safetensors"));
  BOOST_CHECK(!fs::exists(step_file_of(output)));
}

BOOST_AUTO_TEST_CASE(
    a_bf16_run_goes_on_in_bf16_from_a_file_of_another_device_and_with_other_threads_to_the_same_bytes) {
  const ScratchFolder whole, folder;
  const Arguments in_bf16{"--device",           "cpu", "--precision", "bf16", "--steps", "200",
                          "--checkpoint-every", "1",   "--quiet"};
  auto logged = in_bf16;
  logged.insert(logged.end(), {"--log-file", (whole / "log.ndjson").string()});
  BOOST_REQUIRE_EQUAL(generate(whole / "v.y4m", logged).exit_code, 0);

  const fs::path output = folder / "v.y4m";
  Arguments arguments{"generate", "--model", demo,       "--prompt",      "a red circle",   "--height", "32",
                      "--width",  "32",      "--output", output.string(), "--reproducible", "--resume"};
  arguments.insert(arguments.end(), in_bf16.begin(), in_bf16.end());
  const auto was_begun = [&] {
    return fs::exists(step_file_of(output)) && io::read_manifest(step_file_of(output))->at("step") < 200;
  };
  for (int attempt = 1; !was_begun(); ++attempt) {
    BOOST_REQUIRE_LE(attempt, 40);
    testing::kill_after(arguments, std::chrono::milliseconds(25 * attempt));
    if (fs::exists(output)) fs::remove(output);
  }
  io::Json elsewhere = io::read_manifest(step_file_of(output)).value();
  BOOST_REQUIRE_EQUAL(elsewhere.at("device"), "cpu");
  BOOST_CHECK(!elsewhere.contains("begun_on"));
  elsewhere["device"] = "cuda";
  replace_manifest(step_file_of(output), elsewhere);
  const auto result = testing::run_program(
      {"generate", "--device", "cpu", "--resume", "--model", demo, "--reproducible", "--quiet", "--output",
       output.string(), "--log-file", (folder / "log.ndjson").string()},
      "OMP_NUM_THREADS=1");
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK(testing::read_text(output) == testing::read_text(whole / "v.y4m"));
  const auto manifest = io::read_manifest(output).value();
  BOOST_CHECK_EQUAL(manifest.at("device"), "cpu");
  BOOST_CHECK(manifest.at("begun_on") == io::Json::array({"cuda"}));
  BOOST_CHECK(!predictions_in(whole / "log.ndjson").empty());
  BOOST_CHECK(predictions_in(folder / "log.ndjson") == predictions_in(whole / "log.ndjson"));
}

BOOST_AUTO_TEST_CASE(a_video_of_another_rate_or_chroma_is_not_the_one_asked_for) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.mp4";
  BOOST_REQUIRE_EQUAL(generate(output, {"--steps", "1"}).exit_code, 0);
  const auto again = [&](const Arguments& flags) {
    Arguments all{"--steps", "1", "--resume"};
    all.insert(all.end(), flags.begin(), flags.end());
    return generate(output, all);
  };
  check_says(again({"--fps", "50"}), 2, {"v.mp4", "--fps 25", "50"});
  check_says(again({"--chroma", "444"}), 2, {"v.mp4", "--chroma 420", "444"});
  check_says(again({"--fps", "25/1", "--chroma", "420"}), 0, {"is there already"});
}

BOOST_AUTO_TEST_CASE(an_output_of_another_kind_is_written_over_where_that_is_asked_for_as_without_resume) {
  const ScratchFolder folder;
  for (const std::string junk : {"", "no video at all"}) {
    folder.write("v.mp4", junk);
    check_says(generate(folder / "v.mp4", {"--steps", "1", "--resume", "--overwrite"}), 0, {});
    BOOST_CHECK(io::read_manifest(folder / "v.mp4").has_value());
    folder.write("v.safetensors", junk);
    check_says(generate(folder / "v.safetensors", {"--steps", "1", "--resume", "--overwrite"}), 0, {});
  }
  const std::string text = (folder / "text.safetensors").string(),
                    latents = folder.write("l.safetensors", "no tensors").string();
  BOOST_REQUIRE_EQUAL(testing::run_program({"encode-text", "--model", demo, "--prompt", "a red circle",
                                            "--quiet", "--output", text})
                          .exit_code,
                      0);
  check_says(
      testing::run_program({"denoise", "--model", demo, "--conditioning", text, "--height", "32", "--width",
                            "32", "--steps", "1", "--resume", "--overwrite", "--output", latents}),
      0, {});
  BOOST_CHECK(io::read_manifest(latents).has_value());
}

BOOST_AUTO_TEST_CASE(a_step_file_cannot_drive_the_terminal) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.safetensors";
  check_says(generate(output, {"--steps", "2", "--quiet"}, files_of_at_most(160)), 1, {"finishes the job"});
  auto manifest = io::read_manifest(step_file_of(output)).value();
  manifest["prompt"] =
      "\x1b[2J\x7f\xc2\x9b"
      "2J";
  replace_manifest(step_file_of(output), manifest);
  const auto result = generate(output, {"--steps", "2", "--resume"});
  check_says(result, 2, {"\\u001b[2J\\x7f\\x9b2J", "a red circle"});
  BOOST_CHECK_EQUAL(std::ranges::count(result.errors, '\n'), 1);
  for (const char* const raw : {"\x1b", "\x7f", "\xc2\x9b"})
    BOOST_CHECK_EQUAL(result.errors.find(raw), std::string::npos);
}
