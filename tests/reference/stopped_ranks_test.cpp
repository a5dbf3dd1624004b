// Ranks that are stopped or killed while rank 0 works alone, or rank 0 while the others wait for it: nobody
// is in a collective that could expire.
#define BOOST_TEST_MODULE stopped_ranks
#include "reference/process_runs.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

const fs::path demo = STEPVIDEO_DEMO_MODEL;

/// Two ranks that make a video, of which one gets a signal when rank 0 has logged something.
struct Run {
  ScratchFolder folder;
  std::vector<pid_t> processes;
  double seconds = 0;  ///< from the signal to the other's end
  std::string errors;

  fs::path output() const { return folder / "v.mp4"; }

  Run(const fs::path& model, const char* frames, const char* size, const StringList& more,
      const std::string& logged, int rank, int signal) {
    const fs::path log = folder / "run.ndjson";
    processes =
        by_torchrun(2,
                    with({"generate",   "--model",      model.string(), "--weights",      "random:1",
                          "--prompt",   "a red circle", "--frames",     frames,           "--height",
                          size,         "--width",      size,           "--steps",        "1",
                          "--device",   "cpu",          "--quiet",      "--topology",     "guidance=2",
                          "--log-file", log.string(),   "--output",     output().string()},
                         more),
                    folder / "err");
    while (!fs::exists(log) || read_text(log).find(logged) == std::string::npos) {
      BOOST_REQUIRE_MESSAGE(waitpid(processes[0], nullptr, WNOHANG) == 0, read_text(folder / "err"));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    BOOST_REQUIRE_EQUAL(kill(processes[std::size_t(rank)], signal), 0);
    const auto hit = std::chrono::steady_clock::now();
    const auto codes = wait_for_processes({processes[std::size_t(1 - rank)]}, std::chrono::seconds(90));
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - hit).count();
    BOOST_CHECK_EQUAL(codes[0], 1);
    BOOST_TEST_MESSAGE(logged << ": out after " << seconds << " s");
    kill(processes[std::size_t(rank)], SIGKILL);
    wait_for_processes({processes[std::size_t(rank)]});
    errors = read_text(folder / "err");
  }

  /// Of what remains beside the logs.
  StringList left() const {
    StringList names = folder.names();
    std::erase_if(names, [](const std::string& name) { return name == "err" || name.ends_with(".ndjson"); });
    return names;
  }
};

std::string begin_of(const std::string& stage) {
  return R"("stage":")" + stage + R"(","event":"begin")";
}

/// A model whose text takes a minute and more: its weights are made up layer by layer.
const fs::path& model_with_slow_text() {
  static const ScratchFolder folder;
  static const fs::path model = [] {
    const fs::path slow = folder / "model";
    fs::copy(demo, slow, fs::copy_options::recursive);
    auto config = io::Json::parse(read_text(demo / "step_llm" / "config.json"));
    config["num_layers"] = 2000;
    fs::remove(slow / "step_llm" / "config.json");
    std::ofstream(slow / "step_llm" / "config.json") << config.dump();
    return slow;
  }();
  return model;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_that_is_stopped_while_rank_0_encodes_the_text_is_named) {
  const Run run(model_with_slow_text(), "17", "64", {}, begin_of("load Step-LLM"), 1, SIGSTOP);
  BOOST_CHECK_LT(run.seconds, 10);
  BOOST_CHECK(run.errors.starts_with("stepvideo: rank 1 is stopped: it has given no sign of life for 3."));
  BOOST_CHECK_EQUAL(std::ranges::count(run.errors, '\n'), 1);
  BOOST_CHECK(run.left().empty());
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_killed_while_rank_0_encodes_the_text_is_named) {
  const Run run(model_with_slow_text(), "17", "64", {}, begin_of("load Step-LLM"), 1, SIGKILL);
  BOOST_CHECK_EQUAL(run.errors, "stepvideo: rank 1 is gone: its process ended without a word\n");
  BOOST_CHECK_LT(run.seconds, 5);
}

BOOST_AUTO_TEST_CASE(a_rank_0_that_is_stopped_while_it_encodes_the_text_is_named) {
  const Run run(model_with_slow_text(), "17", "64", {}, begin_of("load Step-LLM"), 0, SIGSTOP);
  BOOST_CHECK_LT(run.seconds, 10);
  BOOST_CHECK(run.errors.starts_with("stepvideo: rank 0 is stopped: it has given no sign of life for 3."));
  BOOST_CHECK_EQUAL(std::ranges::count(run.errors, '\n'), 1);
}

BOOST_AUTO_TEST_CASE(the_last_rank_says_why_where_all_others_are_stopped) {
  const ScratchFolder folder;
  const fs::path log = folder / "run.ndjson";
  const auto processes =
      by_torchrun(3,
                  denoise_small(folder / "l.safetensors", 3000,
                                {"--topology", "ulysses=3,sharding=uneven", "--log-file", log.string()}),
                  folder / "err");
  while (!fs::exists(log) || read_text(log).find(R"("event":"step","step":3,)") == std::string::npos)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const int rank : {0, 1}) kill(processes[std::size_t(rank)], SIGSTOP);
  const auto codes = wait_for_processes({processes[2]}, std::chrono::seconds(10));
  for (const int rank : {0, 1}) kill(processes[std::size_t(rank)], SIGKILL);
  wait_for_processes({processes[0], processes[1]});
  BOOST_CHECK_EQUAL(codes[0], 1);
  BOOST_CHECK(read_text(folder / "err").starts_with("stepvideo: rank 0 is stopped: "));
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_stopped_while_rank_0_decodes_alone_is_named_with_what_finishes_the_job) {
  const Run run(demo, "17", "256", {}, begin_of("decode"), 1, SIGSTOP);
  BOOST_CHECK_LT(run.seconds, 10);
  check_contains(run.errors, "stepvideo: rank 1 is stopped: it has given no sign of life for 3.");
  check_contains(run.errors, "; the latents are there, and this finishes the job: stepvideo decode --model ");
  BOOST_CHECK(!fs::exists(run.output()));
  BOOST_CHECK(run.left() == StringList{"v.mp4.steps.safetensors"});
  BOOST_CHECK_EQUAL(pipeline::read_step_file(pipeline::step_file_of(run.output())).steps_done, 1);
}

/// Without a heartbeat the rank is one that lives and does nothing, for all that the others know.
BOOST_AUTO_TEST_CASE(a_rank_that_stalls_while_it_decodes_is_named_with_what_finishes_the_job) {
  const Run run(demo, "153", "32", {"--heartbeat", "0", "--deadline-floor", "0.5"},
                R"("stage":"decode","event":"step","step":3)", 1, SIGSTOP);
  check_contains(run.errors, "stepvideo: rank 1 is late: rank 0 waits in ");
  check_contains(run.errors, "; the latents are there, and this finishes the job: stepvideo decode --model ");
  BOOST_CHECK(run.left() == StringList{"v.mp4.steps.safetensors"});
}

BOOST_AUTO_TEST_CASE(a_heartbeat_below_a_second_is_refused) {
  const ScratchFolder folder;
  const auto refused =
      run_program(denoise_small(folder / "l.safetensors", 4, {"--gpus", "2", "--heartbeat", "0.1"}));
  check_says(refused, 2, {"--heartbeat is 0.1; 1 to 1000000 seconds work, and 0 for never"});
}
