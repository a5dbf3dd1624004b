// Work is never lost: what stops a run, and how it goes on.
#define BOOST_TEST_MODULE resume
#include <random>

#include "io/manifest.hpp"
#include "io/pending_file.hpp"
#include "io/safetensors.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder, testing::with, testing::kill_after, testing::check_says,
    testing::files_of_at_most;
namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;
using Arguments = std::vector<std::string>;

/// A small video, its latents written after every step.
Arguments small(const fs::path& output, const Arguments& more = {}) {
  return with({"generate", "--model", demo, "--prompt", "a red circle moves up", "--height", "32", "--width",
               "32", "--steps", "30", "--checkpoint-every", "1", "--reproducible", "--quiet", "--output",
               output.string(), "--device", "cpu"},
              more);
}

testing::ProgramResult run(const Arguments& arguments, const std::string& environment = "") {
  return testing::run_program(arguments, environment);
}

void succeed(const Arguments& arguments) {
  const auto result = run(arguments);
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
}

int steps_in(const fs::path& step_file) {
  if (!fs::exists(step_file)) return 0;
  return io::read_manifest(step_file).value_or(io::Json::object()).value("step", 0);
}

/// Kills `arguments` at random moments, again and again; each time it goes on where it was, and whenever it
/// ends, its output has the bytes of `expected`.
void kill_at_random(const Arguments& arguments, const fs::path& output, const std::string& expected,
                    int kills) {
  const fs::path step_file = output.string() + ".steps.safetensors";
  const auto begin = std::chrono::steady_clock::now();
  succeed(arguments);
  auto longest =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count();
  fs::remove(output);
  std::mt19937 engine(7);
  int killed = 0, ended = 0, began_within = 0;
  while (killed < kills) {
    const int steps_before = steps_in(step_file);
    if (steps_before > 0) ++began_within;
    const std::chrono::microseconds moment(std::uniform_int_distribution<std::int64_t>(0, longest)(engine));
    if (!kill_after(with(arguments, {"--resume"}), moment)) {
      longest -= longest / 8;  // the run that was timed was slower than those that follow
    } else {
      ++killed;
      BOOST_CHECK_GE(std::max(steps_in(step_file), fs::exists(output) ? 1000 : 0), steps_before);
    }
    if (!fs::exists(output)) continue;
    succeed(with(arguments, {"--resume"}));  // a kill may fall between the output and the clearing away
    ++ended;
    BOOST_CHECK(testing::read_text(output) == expected);
    fs::remove(output);
    fs::remove(step_file);
  }
  succeed(with(arguments, {"--resume"}));
  BOOST_CHECK(testing::read_text(output) == expected);
  BOOST_TEST_MESSAGE(killed << " killed, " << ended << " ended, " << began_within << " began within");
  BOOST_CHECK_GE(began_within, kills / 10);
  for (const auto& entry : fs::directory_iterator(output.parent_path()))
    BOOST_CHECK_MESSAGE(entry.path().filename().string().find("partial") == std::string::npos,
                        entry.path() << " was left");
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_run_killed_at_any_moment_goes_on_and_gives_the_same_bytes) {
  const ScratchFolder whole, folder;
  succeed(small(whole / "v.mp4"));
  kill_at_random(small(folder / "v.mp4"), folder / "v.mp4", testing::read_text(whole / "v.mp4"), 30);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}

BOOST_AUTO_TEST_CASE(a_denoise_killed_at_any_moment_goes_on_and_gives_the_same_bytes) {
  const ScratchFolder whole, folder;
  const std::string text = (whole / "text.safetensors").string();
  succeed({"encode-text", "--model", demo, "--prompt", "a red circle", "--output", text, "--quiet"});
  const auto denoise = [&](const fs::path& output) {
    return Arguments{"denoise",
                     "--model",
                     demo,
                     "--conditioning",
                     text,
                     "--height",
                     "32",
                     "--width",
                     "32",
                     "--steps",
                     "60",
                     "--checkpoint-every",
                     "1",
                     "--quiet",
                     "--reproducible",
                     "--output",
                     output.string()};
  };
  succeed(denoise(whole / "l.safetensors"));
  kill_at_random(denoise(folder / "l.safetensors"), folder / "l.safetensors",
                 testing::read_text(whole / "l.safetensors"), 8);
}

BOOST_AUTO_TEST_CASE(a_decode_that_fails_leaves_the_latents_and_says_the_command_that_finishes_the_job) {
  const ScratchFolder whole, folder;
  succeed(small(whole / "v.safetensors"));
  const fs::path output = folder / "it's.safetensors", steps = output.string() + ".steps.safetensors";
  const auto failed = run(small(output), files_of_at_most(160));
  check_says(failed, 1, {"it's.safetensors cannot be written", "finishes the job: stepvideo decode --model"});
  BOOST_CHECK_EQUAL(steps_in(steps), 30);
  const std::string command = failed.errors.substr(failed.errors.find("stepvideo decode") + 9);
  BOOST_REQUIRE_EQUAL(
      std::system(("'" STEPVIDEO_PROGRAM "' " + command.substr(0, command.size() - 1) + " --quiet").c_str()),
      0);
  const auto video = [](const fs::path& path) { return io::SafetensorsFile::open(path); };
  BOOST_CHECK(std::ranges::equal(video(output).tensors().at("video").bytes,
                                 video(whole / "v.safetensors").tensors().at("video").bytes));
  BOOST_CHECK(fs::exists(steps));
}

BOOST_AUTO_TEST_CASE(a_decoder_that_cannot_be_loaded_leaves_the_latents_too) {
  const ScratchFolder folder, model;
  fs::copy(demo, model / "m", fs::copy_options::recursive);
  const auto vae = io::SafetensorsFile::open(demo + "/vae/vae_v2.safetensors");
  std::vector<io::NamedTensor> tensors;
  const std::vector<std::byte> ones(vae.tensors().at("decoder.conv_out.weight").bytes.size(),
                                    std::byte{0xFF});
  for (const auto& [name, record] : vae.tensors())
    tensors.push_back({name, record.dtype, record.shape,
                       name == "decoder.conv_out.weight" ? std::span(ones) : record.bytes});  // NaN
  io::write_safetensors(model / "m/vae/vae_v2.safetensors", tensors);
  auto arguments = small(folder / "v.mp4");
  *std::ranges::find(arguments, demo) = (model / "m").string();
  check_says(run(arguments), 1, {"decoder.conv_out.weight", "finishes the job: stepvideo decode"});
  BOOST_CHECK_EQUAL(steps_in(folder / "v.mp4.steps.safetensors"), 30);
}

BOOST_AUTO_TEST_CASE(resume_needs_nothing_but_the_output_and_names_what_differs) {
  const ScratchFolder whole, folder;
  const fs::path output = folder / "v.safetensors", steps = output.string() + ".steps.safetensors";
  auto arguments = small(output);
  std::erase(arguments, "--reproducible");
  check_says(run(arguments, files_of_at_most(160)), 1, {"finishes the job"});

  check_says(run(small(output)), 2, {steps.string(), "--resume goes on", "remove it"});
  check_says(run(small(output, {"--resume", "--seed", "5"})), 2, {steps.string(), "seed 0", "seed 5"});
  check_says(run(small(output, {"--resume", "--precision", "bf16"})), 2, {"precision \"fp32\"", "\"bf16\""});
  arguments = small(output, {"--resume"});
  *std::ranges::find(arguments, "30") = "31";
  check_says(run(arguments), 2, {"steps 30", "steps 31", "give what it had"});
  arguments[4] = "a blue circle";
  check_says(run(arguments), 2, {"a red circle moves up", "a blue circle"});

  succeed({"generate", "--resume", "--reproducible", "--quiet", "--output", output.string()});
  succeed(small(whole / "v.safetensors"));
  BOOST_CHECK(testing::read_text(output) == testing::read_text(whole / "v.safetensors"));
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);

  const auto written = fs::last_write_time(output);
  check_says(run({"generate", "--model", demo, "--resume", "--output", output.string()}), 0,
             {"is there already"});
  BOOST_CHECK(fs::last_write_time(output) == written);
}

BOOST_AUTO_TEST_CASE(a_model_that_has_changed_is_named) {
  const ScratchFolder folder, model;
  fs::copy(demo, model / "m", fs::copy_options::recursive);
  const fs::path output = folder / "v.safetensors";
  auto arguments = small(output);
  *std::ranges::find(arguments, demo) = (model / "m").string();
  check_says(run(arguments, files_of_at_most(160)), 1, {"finishes the job"});
  const auto config = testing::read_text(model / "m/transformer/config.json");
  model.write("m/transformer/config.json", config + "\n");
  arguments.push_back("--resume");
  check_says(run(arguments), 2, {"v.safetensors.steps.safetensors", "transformer"});
  model.write("m/transformer/config.json", config);
  succeed(arguments);
}

BOOST_AUTO_TEST_CASE(a_disk_that_fills_up_costs_a_warning_and_not_the_run) {
  const ScratchFolder folder;
  auto arguments = small(folder / "v.mp4");
  std::erase(arguments, "--quiet");
  const auto result = run(arguments, files_of_at_most(32));
  check_says(result, 0, {"warning: ", "v.mp4.steps.safetensors cannot be written", "the run goes on"});
  const std::string said = "steps.safetensors cannot be written";
  BOOST_CHECK_EQUAL(result.errors.find(said), result.errors.rfind(said));  // once
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_too_small_is_refused_before_the_work) {
  const ScratchFolder folder;
  testing::check_refused([&] { io::require_free_space("--output", folder / "v.mp4", 1e19); },
                         {"--output", "v.mp4", "GiB", "free", "works"});
  BOOST_CHECK_NO_THROW(io::require_free_space("--output", folder / "v.mp4", 1));
}

BOOST_AUTO_TEST_CASE(final_latents_are_kept_where_asked_for) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.safetensors", kept = output.string() + ".latents.safetensors";
  succeed(small(output, {"--keep-latents"}));
  BOOST_REQUIRE(fs::exists(kept));
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);
  succeed({"decode", "--model", demo, "--latents", kept.string(), "--quiet", "--output",
           (folder / "again.safetensors").string()});
  const auto video = [&](const fs::path& path) { return io::SafetensorsFile::open(path); };
  BOOST_CHECK(std::ranges::equal(video(output).tensors().at("video").bytes,
                                 video(folder / "again.safetensors").tensors().at("video").bytes));
}

BOOST_AUTO_TEST_CASE(damaged_step_files_are_refused) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.mp4";
  const auto steps = folder.write("v.mp4.steps.safetensors", "no tensors");
  check_says(run(small(output, {"--resume"})), 2, {"v.mp4.steps.safetensors"});
  const std::vector<float> values(16, 0.5f);
  io::write_safetensors(steps,
                        {{"latents", io::Dtype::f32, {1, 1, 16, 1, 1}, std::as_bytes(std::span(values))}});
  check_says(run(small(output, {"--resume"})), 2, {"v.mp4.steps.safetensors", "manifest"});
  check_says(run(small(folder / "w.mp4", {"--checkpoint-every", "0"})), 2, {"--checkpoint-every"});
}

BOOST_AUTO_TEST_CASE(what_dead_processes_left_is_cleared_away_and_what_live_ones_write_is_not) {
  const ScratchFolder folder;
  folder.write(".v.mp4.4194303-0.partial", "half");
  folder.write(".v.mp4.notes.partial", "somebody's");
  const io::PendingFile alive(folder / "v.mp4");
  io::remove_abandoned(folder / "v.mp4");
  BOOST_CHECK(fs::exists(alive.temporary()));
  BOOST_CHECK(fs::exists(folder / ".v.mp4.notes.partial"));
  BOOST_CHECK(!fs::exists(folder / ".v.mp4.4194303-0.partial"));
}
