// denoise on ranks that are processes, as torchrun and srun start them: without MPI.
#define BOOST_TEST_MODULE launch
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "reference/process_runs.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

/// Starts ranks with one more variable each and waits for them.
ProgramResult run_by_torchrun(const std::vector<int>& started, int ranks, const StringList& arguments,
                              const std::function<StringList(int rank)>& more = {}) {
  const ScratchFolder scratch;
  const int port = unused_port();
  std::vector<pid_t> processes;
  for (const int rank : started)
    processes.push_back(
        start_program(arguments, (scratch / "err").string(),
                      with(torchrun_variables(rank, ranks, port), more ? more(rank) : StringList{})));
  const auto codes = wait_for_processes(processes);
  return {*std::ranges::max_element(codes), "", read_text(scratch / "err")};
}

}  // namespace

BOOST_AUTO_TEST_CASE(latents_of_processes_are_those_of_one) {
  for (const StartRanks& start : {by_torchrun, by_srun}) {
    const ScratchFolder folder;
    const fs::path output = folder / "l.safetensors";
    const auto codes = wait_for_processes(
        start(3, denoise_small(output, 4, {"--topology", "ulysses=3,sharding=uneven"}), folder / "err"));
    BOOST_CHECK_MESSAGE(codes == std::vector<int>(3, 0), read_text(folder / "err"));
    BOOST_CHECK(read_text(output) == on_one_rank(4));
  }
}

BOOST_AUTO_TEST_CASE(processes_that_were_asked_for_something_else_are_refused_by_name) {
  const ScratchFolder folder;
  const auto arguments = denoise_small(folder / "l.safetensors", 4, {"--topology", "guidance=2"});
  const auto result = run_by_torchrun({0, 1}, 2, with(arguments, {"--seed", "1"}));
  BOOST_CHECK_EQUAL(result.exit_code, 0);
  const int port = unused_port();
  const std::vector<pid_t> processes{
      start_program(with(arguments, {"--seed", "1"}), (folder / "err").string(),
                    torchrun_variables(0, 2, port)),
      start_program(with(arguments, {"--seed", "2"}), (folder / "err").string(),
                    torchrun_variables(1, 2, port))};
  BOOST_CHECK(wait_for_processes(processes) == std::vector<int>(2, 2));
  BOOST_CHECK_EQUAL(
      read_text(folder / "err"),
      "stepvideo: rank 0 has seed 1 and rank 1 has seed 2; start all ranks with the same request, model "
      "and version\n");
}

BOOST_AUTO_TEST_CASE(processes_that_would_write_something_else_are_refused_by_name) {
  const ScratchFolder folder;
  const fs::path a = folder / "a.safetensors", b = folder / "b.safetensors";
  const auto refused = [&](const fs::path& second_output, const StringList& second,
                           const std::string& sentence) {
    const int port = unused_port();
    const auto start = [&](int rank, const fs::path& output, const StringList& more) {
      return start_program(denoise_small(output, 4, with({"--topology", "guidance=2"}, more)),
                           (folder / "err").string(), torchrun_variables(rank, 2, port));
    };
    BOOST_CHECK(wait_for_processes({start(0, a, {}), start(1, second_output, second)}) ==
                std::vector<int>(2, 2));
    check_contains(read_text(folder / "err"), "stepvideo: rank 0 has " + sentence + "; start all ranks with");
    fs::remove(folder / "err");
  };
  refused(b, {}, "--output " + a.string() + " and rank 1 has --output " + b.string());
  refused(a, {"--resume"}, "no --resume and rank 1 has --resume given");
  BOOST_CHECK(folder.names().empty());
}

BOOST_AUTO_TEST_CASE(a_video_that_processes_encode_has_the_moments_of_one) {
  const ScratchFolder folder;
  const auto video =
      testing::run_program({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--prompt", "a red circle",
                            "--frames", "68", "--height", "32", "--width", "32", "--steps", "1", "--device",
                            "cpu", "--output", (folder / "v.safetensors").string()});
  BOOST_REQUIRE_MESSAGE(video.exit_code == 0, video.errors);
  const auto encode = [&](const fs::path& output) {
    return StringList{"encode",
                      "--model",
                      STEPVIDEO_TEST_DATA "/golden/vae_tiny",
                      "--video",
                      (folder / "v.safetensors").string(),
                      "--reproducible",
                      "--quiet",
                      "--device",
                      "cpu",
                      "--output",
                      output.string()};
  };
  const auto alone = run_program(encode(folder / "one.safetensors"), "OMP_NUM_THREADS=1");
  BOOST_REQUIRE_MESSAGE(alone.exit_code == 0, alone.errors);
  for (const int ranks : {2, 3, 5}) {  // four chunks: two turns, two, one with a rank that has none
    const fs::path shared = folder / "shared.safetensors", log = folder / "run.ndjson";
    const auto codes = wait_for_processes(
        by_torchrun(ranks, with(encode(shared), {"--log-file", log.string()}), folder / "err"));
    BOOST_CHECK_MESSAGE(codes == std::vector<int>(std::size_t(ranks), 0), read_text(folder / "err"));
    BOOST_CHECK(read_text(shared) == read_text(folder / "one.safetensors"));
    check_contains(read_text(folder / "run.rank1.ndjson"), R"("stage":"encode","event":"step","step":1)");
    fs::remove(shared);
  }
}

BOOST_AUTO_TEST_CASE(a_launch_in_which_a_rank_does_not_come_names_it) {
  const ScratchFolder folder;
  const auto result = run_by_torchrun({0, 2}, 3, denoise_small(folder / "l.safetensors", 4),
                                      [](int) { return StringList{"STEPVIDEO_LAUNCH_SECONDS=1"}; });
  BOOST_CHECK_EQUAL(result.exit_code, 1);
  check_contains(result.errors, "stepvideo: rank 1 of 3 did not come to rank 0 within 1 s");
}

BOOST_AUTO_TEST_CASE(a_rank_with_another_token_is_a_stranger) {
  const ScratchFolder folder;
  const auto result = run_by_torchrun({0, 1}, 2, denoise_small(folder / "l.safetensors", 4), [](int rank) {
    return StringList{"STEPVIDEO_LAUNCH_SECONDS=1", "STEPVIDEO_TOKEN=" + std::to_string(rank)};
  });
  BOOST_CHECK_EQUAL(result.exit_code, 1);
  check_contains(result.errors, "rank 1 of 2 did not come to rank 0 within 1 s (");
  check_contains(result.errors, "connections without this job's token were refused)");
}

BOOST_AUTO_TEST_CASE(a_wrong_variable_is_named) {
  const ScratchFolder folder;
  const auto refused = run_program(denoise_small(folder / "l.safetensors", 4), "WORLD_SIZE=2");
  check_says(refused, 2, {"RANK is not set for this process"});
}

BOOST_AUTO_TEST_CASE(a_program_without_its_library_for_mpi_says_what_works) {
  const ScratchFolder folder;
  fs::copy_file(STEPVIDEO_PROGRAM, folder / "stepvideo");
  const auto codes = wait_for_processes(
      {start_process(with({(folder / "stepvideo").string()}, denoise_small(folder / "l.safetensors", 4)),
                     folder / "err", {"OMPI_COMM_WORLD_SIZE=2"})});
  BOOST_CHECK_EQUAL(codes[0], 2);
  check_contains(read_text(folder / "err"),
                 "mpirun started 2 processes for this run, and this program finds no MPI (");
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_killed_or_stopped_or_exits_at_any_step_is_named_and_the_run_goes_on) {
  check_faults(by_torchrun, 50, [](const Fault& fault) {
    return "stepvideo: rank " + std::to_string(fault.rank) +
           (fault.kind == Fault::stopped ? " is " : " is gone: its process ended without a word");
  });
}

BOOST_AUTO_TEST_CASE(processes_that_are_told_to_end_are_out_within_three_seconds_and_keep_the_work) {
  using namespace std::chrono_literals;
  using Clock = std::chrono::steady_clock;
  struct Case {
    std::vector<int> signals;
    int code;
  };
  constexpr int ranks = 3, steps = 400;
  for (const auto& [signals, code] :
       {Case{{SIGTERM}, 143}, Case{{SIGINT, SIGINT}, 130}, Case{{SIGINT}, 130}, Case{{SIGHUP}, 129}})
    for (const StartRanks& start : {by_torchrun, by_srun}) {
      const ScratchFolder folder;
      const fs::path output = folder / "l.safetensors", log = folder / "run.ndjson";
      const StringList topology{"--topology", "ulysses=3,sharding=uneven"};
      const auto processes = start(
          ranks, denoise_small(output, steps, with(topology, {"--log-file", log.string()})), folder / "err");
      for (int i = 0; i < 3000 && (!fs::exists(log) ||
                                   read_text(log).find(R"("event":"step","step":3)") == std::string::npos);
           ++i)
        std::this_thread::sleep_for(10ms);
      for (const int signal : signals) {  // as a terminal or a batch system does: to all of them
        for (const pid_t process : processes) kill(process, signal);
        std::this_thread::sleep_for(50ms);
      }
      const auto begin = Clock::now();
      const auto codes = wait_for_processes(processes);
      const std::string errors = read_text(folder / "err");
      BOOST_CHECK_LT(std::chrono::duration<double>(Clock::now() - begin).count(), 3);
      BOOST_CHECK_MESSAGE(codes == std::vector<int>(ranks, code), fmt::format("{}", fmt::join(codes, " "))
                                                                      << errors);
      // By the ranks' agreement behind a step, or where one takes too long by each itself.
      check_contains(errors, "l.safetensors.steps.safetensors holds the work");
      BOOST_CHECK_GE(pipeline::read_step_file(pipeline::step_file_of(output)).steps_done, 3);
      BOOST_CHECK(!fs::exists(output));
    }
}

BOOST_AUTO_TEST_CASE(processes_that_were_told_to_end_go_on_to_the_bits_of_one) {
  const ScratchFolder folder;
  const fs::path output = folder / "l.safetensors", log = folder / "run.ndjson";
  constexpr int steps = 30;
  const auto arguments = denoise_small(
      output, steps, {"--topology", "ulysses=3,sharding=uneven", "--log-file", log.string(), "--resume"});
  const auto processes = by_torchrun(3, arguments, folder / "err");
  while (!fs::exists(log) || read_text(log).find(R"("event":"step","step":2)") == std::string::npos)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  for (const pid_t process : processes) kill(process, SIGTERM);
  wait_for_processes(processes);
  BOOST_CHECK_EQUAL(run_by_torchrun({0, 1, 2}, 3, arguments).exit_code, 0);
  BOOST_CHECK(read_text(output) == on_one_rank(steps));
}

BOOST_AUTO_TEST_CASE(a_rank_0_that_is_stopped_while_it_draws_is_named) {
  const ScratchFolder folder;
  const auto processes = by_torchrun(2,
                                     {"generate",
                                      "--model",
                                      STEPVIDEO_DEMO_MODEL,
                                      "--prompt",
                                      "a red circle",
                                      "--frames",
                                      "17",
                                      "--height",
                                      "64",
                                      "--width",
                                      "96",
                                      "--steps",
                                      "100",
                                      "--device",
                                      "cpu",
                                      "--topology",
                                      "guidance=2",
                                      "--quiet",
                                      "--preview-every",
                                      "1",
                                      "--preview-path",
                                      folder.path().string(),
                                      "--log-file",
                                      (folder / "run.ndjson").string(),
                                      "--output",
                                      (folder / "v.mp4").string()},
                                     folder / "err");
  const auto has_done = [&](const char* log, int step) {
    return read_text(folder / log).find(R"("event":"step","step":)" + std::to_string(step) + ",") !=
           std::string::npos;
  };
  // Rank 1 is behind a step that rank 0 still draws.
  int step = 2;
  while (!has_done("run.rank1.ndjson", step) || has_done("run.ndjson", step)) {
    if (has_done("run.ndjson", step)) ++step;
    BOOST_REQUIRE_MESSAGE(waitpid(processes[0], nullptr, WNOHANG) == 0, read_text(folder / "err"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(processes[0], SIGSTOP);
  const auto codes = wait_for_processes({processes[1]}, std::chrono::seconds(10));
  kill(processes[0], SIGKILL);
  wait_for_processes({processes[0]});
  BOOST_CHECK_EQUAL(codes[0], 1);
  check_contains(read_text(folder / "err"),
                 "stepvideo: rank 0 is stopped: it has given no sign of life for 3.");
}
