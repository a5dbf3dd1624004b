// denoise and generate on ranks that are processes, as mpirun starts them.
#define BOOST_TEST_MODULE processes
#include <chrono>
#include <csignal>

#include "io/json.hpp"
#include "io/manifest.hpp"
#include "pipeline/step_file.hpp"
#include "reference/denoise_arguments.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder, testing::read_text;
namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;
using Arguments = std::vector<std::string>;

std::string quoted(const Arguments& arguments) {
  std::string line = " '" STEPVIDEO_PROGRAM "'";
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  return line;
}

/// What the shell runs, and where its errors go.
std::string on_processes(const std::string& programs, const fs::path& errors) {
  return "exec env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 "
         "OMPI_MCA_mpi_yield_when_idle=1 '" STEPVIDEO_MPIRUN "' --oversubscribe " +
         programs + " >/dev/null 2>'" + errors.string() + "' </dev/null";
}
std::string on_processes(int count, const Arguments& arguments, const fs::path& errors) {
  return on_processes("-n " + std::to_string(count) + quoted(arguments), errors);
}

struct Result {
  int exit_code = 0;
  std::string errors;
};

Result run(int count, const Arguments& arguments) {
  const ScratchFolder scratch;
  const int status = std::system(on_processes(count, arguments, scratch / "err").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(scratch / "err")};
}

void check_contains(const std::string& text, const std::string& phrase) {
  BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

/// A text for the demo model, made once.
const fs::path& conditioning() {
  static const ScratchFolder folder;
  static const fs::path file = [] {
    const auto result =
        testing::run_program({"encode-text", "--model", demo, "--prompt", "a red circle", "--device", "cpu",
                              "--quiet", "--output", (folder / "text.safetensors").string()});
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    return folder / "text.safetensors";
  }();
  return file;
}

Arguments denoise(const fs::path& output, int steps, const Arguments& more = {}) {
  return testing::denoise_arguments(demo, conditioning(), output, steps, more);
}

/// The latents that one rank makes in so many steps.
std::string on_one_rank(int steps) {
  const ScratchFolder folder;
  const auto result = testing::run_program(denoise(folder / "l.safetensors", steps));
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  return read_text(folder / "l.safetensors");
}

/// A video of nine chunks in one step, whose decode is most of the run.
Arguments generate(const fs::path& output, const Arguments& more = {}) {
  return testing::with({"generate", "--model", demo, "--prompt", "a red circle moves up", "--frames", "153",
                        "--height", "32", "--width", "32", "--steps", "1", "--reproducible", "--quiet",
                        "--device", "cpu", "--output", output.string()},
                       more);
}

const std::string& video_of_one_rank() {
  static const std::string bytes = [] {
    const ScratchFolder folder;
    const auto result = testing::run_program(generate(folder / "v.safetensors"));
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    return read_text(folder / "v.safetensors");
  }();
  return bytes;
}

/// Starts three ranks, sends `signal` to rank 1 while they decode, and waits for the end, which comes before
/// any deadline: one is three of the slowest turn. Returns what was said; nothing is left, and --resume gives
/// the bits of an unbroken run.
std::string with_a_signal_to_rank_1_of_a_decode(int signal) {
  const ScratchFolder folder;
  const fs::path output = folder / "o.safetensors", log = folder / "run.ndjson", errors = folder / "err";
  const std::string line =
      on_processes(3, generate(output, {"--topology", "ulysses=3", "--log-file", log.string()}), errors);
  const pid_t launcher = fork();
  BOOST_REQUIRE_GE(launcher, 0);
  if (launcher == 0) {
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  const auto wait_for = [&](const fs::path& file, const std::string& phrase) {
    for (int i = 0; i < 3000; ++i) {
      std::error_code none_yet;
      if (fs::exists(file, none_yet) && read_text(file).find(phrase) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  };
  BOOST_REQUIRE(wait_for(folder / "run.rank1.ndjson", R"("stage":"decode","event":"step","step":2)"));
  const std::string first = read_text(folder / "run.rank1.ndjson");
  const pid_t rank_1 = io::Json::parse(first.substr(0, first.find('\n')))["run"]["process"].get<int>();
  const auto begin = std::chrono::steady_clock::now();
  BOOST_REQUIRE_EQUAL(kill(rank_1, signal), 0);
  int status = 0;
  waitpid(launcher, &status, 0);
  BOOST_CHECK_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 10);
  BOOST_CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
  for (int i = 0; i < 100 && kill(rank_1, 0) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  BOOST_CHECK_NE(kill(rank_1, 0), 0);
  BOOST_CHECK(!fs::exists(output));
  BOOST_CHECK_GE(pipeline::read_step_file(pipeline::step_file_of(output)).steps_done, 1);
  const auto resumed = testing::run_program(generate(output, {"--resume"}));
  BOOST_CHECK_MESSAGE(resumed.exit_code == 0, resumed.errors);
  BOOST_CHECK(read_text(output) == video_of_one_rank());
  return read_text(errors);
}

}  // namespace

BOOST_AUTO_TEST_CASE(latents_of_processes_are_those_of_one) {
  const ScratchFolder folder;
  const fs::path output = folder / "l.safetensors";
  const auto result = run(3, denoise(output, 4, {"--topology", "ulysses=3"}));
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK(read_text(output) == on_one_rank(4));
}

BOOST_AUTO_TEST_CASE(a_video_is_made_by_processes) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.mp4", log = folder / "run.ndjson";
  const auto result = run(2, {"generate", "--model", demo, "--prompt", "a red circle moves up", "--height",
                              "64", "--width", "96", "--steps", "2", "--device", "cpu", "--topology",
                              "guidance=2", "--log-file", log.string(), "--output", output.string()});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  const auto manifest = io::read_manifest(output);
  BOOST_REQUIRE(manifest);
  BOOST_CHECK_EQUAL(manifest->value("topology", ""), "guidance=2,tensor=1,ulysses=1,ring=1");
  const auto explained = testing::run_program({"explain", log.string()});
  check_contains(explained.output, "2 ranks");
}

BOOST_AUTO_TEST_CASE(processes_that_were_asked_for_something_else_are_refused_by_name) {
  const ScratchFolder folder;
  const fs::path output = folder / "l.safetensors", errors = folder / "err";
  const auto program = [&](const Arguments& more) { return "-n 1" + quoted(denoise(output, 4, more)); };
  const auto check = [&](const Arguments& first, const Arguments& second, const std::string& phrase) {
    const int status = std::system(on_processes(program(first) + " : " + program(second), errors).c_str());
    BOOST_CHECK_NE(status, 0);
    check_contains(read_text(errors), phrase);
    BOOST_CHECK(!fs::exists(output));
  };
  check({"--topology", "guidance=2", "--seed", "1"}, {"--topology", "guidance=2", "--seed", "2"},
        "rank 0 has seed 1 and rank 1 has seed 2");
  check({"--topology", "guidance=2"}, {"--topology", "ring=2"},
        "rank 0 has topology guidance=2,tensor=1,ulysses=1,ring=1 and rank 1 has topology "
        "guidance=1,tensor=1,ulysses=1,ring=2");
  check({"--gpus", "2"}, {"--gpus", "3"}, "the launcher started 2 processes");
}

BOOST_AUTO_TEST_CASE(a_video_that_processes_decode_is_that_of_one) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.safetensors", log = folder / "run.ndjson";
  const auto result =
      run(3, generate(output, {"--topology", "ulysses=3", "--keep-latents", "--log-file", log.string()}));
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK(read_text(output) == video_of_one_rank());
  check_contains(read_text(folder / "run.rank2.ndjson"), R"("stage":"decode","event":"step","step":3)");

  // Five processes take two turns.
  const auto decode = [&](const Arguments& more) {
    return testing::with({"decode", "--model", demo, "--latents", pipeline::latents_file_of(output).string(),
                          "--reproducible", "--quiet", "--device", "cpu", "--output"},
                         more);
  };
  const auto shared = run(5, decode({(folder / "five.safetensors").string()}));
  BOOST_REQUIRE_MESSAGE(shared.exit_code == 0, shared.errors);
  const auto alone = testing::run_program(decode({(folder / "one.safetensors").string()}));
  BOOST_REQUIRE_MESSAGE(alone.exit_code == 0, alone.errors);
  BOOST_CHECK(read_text(folder / "five.safetensors") == read_text(folder / "one.safetensors"));
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_killed_while_it_decodes_ends_the_run) {
  check_contains(with_a_signal_to_rank_1_of_a_decode(SIGKILL), "process rank 1");
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_stopped_while_it_decodes_is_named_and_ended) {
  const std::string said = with_a_signal_to_rank_1_of_a_decode(SIGSTOP);
  check_contains(said, "stepvideo: rank 1 is stopped: it has given no sign of life for 3.");
  check_contains(said, "; the latents are there, and this finishes the job: stepvideo decode --model ");
}
