// What a shell, a script or a folder's name may do to a run.
#define BOOST_TEST_MODULE surroundings
#include <sstream>

#include "io/json.hpp"
#include "io/manifest.hpp"
#include "io/path_json.hpp"
#include "io/printable.hpp"
#include "process_limits.hpp"
#include "support/program.hpp"
#include "support/terminal.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> generate(const fs::path& output, const std::vector<std::string>& more = {}) {
  return with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--prompt", "a", "--frames", "17", "--height",
               "32", "--width", "48", "--steps", "2", "--quiet", "--output", output.string()},
              more);
}

}  // namespace

BOOST_AUTO_TEST_CASE(small_stacks_make_the_same_video) {
  const ScratchFolder folder;
  const auto made = [&](const std::string& name, const std::string& environment) {
    const auto result = run_program(generate(folder / name, {"--reproducible"}), environment);
    BOOST_CHECK_MESSAGE(result.exit_code == 0 && result.errors.empty(), environment << ": " << result.errors);
    return read_text(folder / name);
  };
  const std::string usual = made("usual.mp4", "");
  BOOST_CHECK(made("a.mp4", "OMP_STACKSIZE=256k") == usual);
  BOOST_CHECK(made("b.mp4", "GOMP_STACKSIZE='512 K'") == usual);
  BOOST_CHECK(made("c.mp4", "ulimit -s 512;") == usual);
  BOOST_CHECK(made("d.mp4", "ulimit -s 256; OMP_STACKSIZE=200K OMP_NUM_THREADS=3") == usual);
}

BOOST_AUTO_TEST_CASE(sizes_of_stacks_are_read_as_openmp_reads_them) {
  for (const auto& [text, bytes] : {std::pair{"512", 512ull << 10},
                                    {"512k", 512ull << 10},
                                    {" 3 M", 3ull << 20},
                                    {"7B", 7ull},
                                    {"1G", 1ull << 30},
                                    {"", 0ull},
                                    {"much", 0ull},
                                    {"-1", 0ull},
                                    {"5x", 0ull}})
    BOOST_CHECK_MESSAGE(stack_bytes_of(text) == bytes, text << " is " << stack_bytes_of(text));
}

BOOST_AUTO_TEST_CASE(a_carriage_return_of_a_script_is_shown_and_named) {
  const ScratchFolder folder;
  const auto result = run_program(generate(folder / "a.mp4\r"));
  check_says(result, 2, {"a.mp4\\r", "line ends of Windows"});
  BOOST_CHECK(result.errors.find('\r') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(no_name_drives_the_terminal) {
  const ScratchFolder folder;
  const auto result = run_program(generate(folder / "\x1b[2Ja\xff.mp5"));
  check_says(result, 2, {"\\x1b[2Ja\\xff.mp5"});
  BOOST_CHECK(result.errors.find('\x1b') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(names_of_any_bytes_are_printed_for_people_and_for_shells) {
  BOOST_CHECK_EQUAL(io::printable("caf\xe9 \xC3\xA9 \x1b"), "caf\\xe9 \xC3\xA9 \\x1b");
  BOOST_CHECK_EQUAL(io::printable_lines("a\n  b\r"), "a\n  b\\x0d");
  BOOST_CHECK_EQUAL(io::in_shell("it's"), "'it'\\''s'");
  const std::string bytes = "it's\\ caf\xe9\n";
  const ScratchFolder folder;
  const std::string line = "printf %s " + io::in_shell(bytes) + " >" + (folder / "out").string();
  BOOST_REQUIRE_EQUAL(std::system(("bash -c " + io::in_shell(line)).c_str()), 0);
  BOOST_CHECK_EQUAL(read_text(folder / "out"), bytes);
}

BOOST_AUTO_TEST_CASE(a_model_whose_folder_has_a_name_of_any_bytes_is_found_again) {
  const ScratchFolder folder;
  const fs::path model = folder / "caf\xe9";
  fs::create_directory_symlink(STEPVIDEO_DEMO_MODEL, model);
  auto first = generate(folder / "a.mp4");
  first[2] = model.string();
  const auto made = run_program(first);
  BOOST_REQUIRE_MESSAGE(made.exit_code == 0, made.errors);
  const auto manifest = io::read_manifest(folder / "a.mp4");
  BOOST_CHECK_EQUAL((*manifest)["model"]["path"].get<std::string>(), (folder / "caf\\xe9").string());
  BOOST_CHECK(io::path_in((*manifest)["model"], "path") == model);
  const auto again = run_program({"generate", "--like", (folder / "a.mp4").string(), "--quiet", "--output",
                                  (folder / "b.mp4").string()});
  BOOST_CHECK_MESSAGE(again.exit_code == 0, again.errors);
}

BOOST_AUTO_TEST_CASE(a_path_comes_back_from_json_whatever_its_bytes) {
  for (const std::string path : {"/models/demo", "caf\xe9", "\xff\xfe", "\xE5\x9C\x86"}) {
    io::Json object;
    io::put_path(object, "path", path);
    BOOST_CHECK(io::path_in(io::Json::parse(object.dump()), "path") == path);
  }
  BOOST_CHECK(io::path_in(io::Json(7), "path").empty());
  BOOST_CHECK(io::path_in({{"path", "a"}, {"path_bytes", "zz"}}, "path") == "a");
}

BOOST_AUTO_TEST_CASE(a_name_that_leaves_no_room_for_that_of_the_step_file_is_refused_before_the_work) {
  const ScratchFolder folder;
  std::string name;
  for (int i = 0; i < 75; ++i) name += "\xE5\x9C\x86";  // 225 bytes: a Chinese prompt as a file name
  check_says(run_program(generate(folder / (name + ".mp4"))), 2,
             {"--output", "File name too long", "a shorter name"});
  name.resize(3 * 60);
  BOOST_CHECK_EQUAL(run_program(generate(folder / (name + ".mp4"))).exit_code, 0);
}

BOOST_AUTO_TEST_CASE(a_video_of_nan_is_told_what_helps_and_leaves_nothing_in_the_way_of_it) {
  const ScratchFolder folder;
  check_says(run_program(generate(folder / "a.mp4", {"--cfg-scale", "1e37"})), 1,
             {"NaN or infinite", "a --cfg-scale below 1e+37 works"});
  BOOST_CHECK(folder.names().empty());
  BOOST_CHECK_EQUAL(run_program(generate(folder / "a.mp4", {"--cfg-scale", "3"})).exit_code, 0);
}

BOOST_AUTO_TEST_CASE(a_size_that_the_model_was_not_trained_on_is_told) {
  const ScratchFolder folder;
  const auto run = [&](const std::string& frames, const std::string& side) {
    return run_program({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--prompt", "a", "--steps", "1",
                        "--frames", frames, "--height", side, "--width", side, "--overwrite", "--output",
                        (folder / "a.mp4").string()})
        .errors;
  };
  const std::string warning = "was trained on 17 frames of 96x96 and 34 frames of 96x96; ";
  BOOST_CHECK(run("68", "96").find(warning + "68 frames of 96x96 may drift") != std::string::npos);
  BOOST_CHECK(run("1", "32").find(warning + "1 frame of 32x32 may drift") != std::string::npos);
  BOOST_CHECK(run("17", "96").find("trained") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(nothing_is_coloured_where_nobody_wants_it) {
  const std::vector<std::string> doctor{"doctor", "--gpus", "0"};
  const auto escapes = [&](const StringList& environment) {
    const std::string shown = run_on_terminal(doctor, 80, environment).output;
    BOOST_CHECK(shown.find("processor") != shown.npos);
    return shown.find('\x1b') != shown.npos;
  };
  BOOST_CHECK(escapes({"TERM=xterm", "NO_COLOR="}));
  BOOST_CHECK(!escapes({"TERM=xterm", "NO_COLOR=1"}));
  BOOST_CHECK(!escapes({"TERM=dumb", "NO_COLOR="}));
}

BOOST_AUTO_TEST_CASE(what_ramp_measured_scales_the_forecast_and_the_predictions) {
  const ScratchFolder folder;
  const std::string cache = "XDG_CACHE_HOME='" + folder.path().string() + "' OMP_NUM_THREADS=2";
  const auto predicted = [&](const std::string& name) {
    const fs::path log = folder / (name + ".ndjson");
    const auto result = run_program(generate(folder / (name + ".mp4"), {"--log-file", log.string()}), cache);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    std::istringstream lines(read_text(log));
    for (std::string line; std::getline(lines, line);) {
      const auto event = io::Json::parse(line);
      if (event.value("stage", "") == "decode" && event.contains("predicted_seconds"))
        return event["predicted_seconds"].get<double>();
    }
    return 0.0;
  };
  const double by_plan = predicted("plan");
  fs::create_directories(folder / "stepvideo");
  folder.write("stepvideo/calibration.json", R"({"cpu, fp32, 2 threads": {"denoise": 3, "decode": 10}})");
  BOOST_CHECK_CLOSE(predicted("measured"), 10 * by_plan, 1e-3);
  folder.write("stepvideo/calibration.json", "no JSON");
  BOOST_CHECK_CLOSE(predicted("damaged"), by_plan, 1e-3);
  const auto ramp = run_program({"ramp", "--model", STEPVIDEO_DEMO_MODEL, "--prompt", "a", "--frames", "1",
                                 "--height", "16", "--width", "16", "--steps", "1"},
                                cache);
  BOOST_CHECK(ramp.output.find("calibration.json keeps how this machine compares") != std::string::npos);
  BOOST_CHECK(read_text(folder / "stepvideo/calibration.json").find("cpu, fp32, 2 threads") !=
              std::string::npos);
}
