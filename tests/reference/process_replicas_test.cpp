// Prompts that are dealt to groups of processes.
#define BOOST_TEST_MODULE process_replicas
#include <array>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "interrupt.hpp"
#include "pipeline/process_ranks.hpp"
#include "reference/process_runs.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
using namespace stepvideo::pipeline;

namespace {

constexpr std::size_t job_count = 8;

/// What became of eight jobs that processes dealt to groups of two.
struct Dealt {
  std::map<std::size_t, std::multiset<int>> ranks;  ///< by job: on which it was done
  StringList failures;                              ///< by job, empty for none; or one, of all
  std::vector<int> codes;
};

constexpr int most_steps = 5000;  ///< of 2 ms: ten seconds
int few_steps(int) {
  return 5;
}

/// `work(rank, job)` is called on the first rank of a group, in a fork of this process, behind its steps.
/// `signalled` gets a signal a second after its start.
template <class Work>
Dealt deal_jobs(Work&& work, int (*steps_of)(int rank) = few_steps, int groups = 2, int signalled = -1) {
  const ScratchFolder folder;
  const fs::path done = folder / "done", failed = folder / "failed";
  const auto in_fork = [&] {
    const int of_each = 2;
    const int rank = process_ranks()->rank();
    if (rank == signalled)
      std::thread([] {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        kill(getpid(), SIGINT);
      }).detach();
    const LoadReplica load = [&](Progress&, const std::function<void()>& meanwhile) {
      BOOST_REQUIRE_EQUAL(process_ranks()->ranks(), of_each);
      return [&](std::size_t job) {
        for (int step = 0; step < steps_of(rank); ++step) {
          meanwhile();
          throw_if_interrupted("between steps");
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        work(rank, job);
        std::ofstream(done, std::ios::app) << std::to_string(job) + " " + std::to_string(rank) + "\n"
                                           << std::flush;
        return "by " + std::to_string(rank);
      };
    };
    if (rank > 0) return process_ranks()->follow({.load_replica = load}, {.topology = {.ulysses = of_each}});
    catch_interrupts();
    Progress progress({.is_quiet = true});
    std::vector<std::size_t> jobs(job_count);
    for (std::size_t i = 0; i < job_count; ++i) jobs[i] = i;
    std::ofstream out(failed);
    try {
      for (const auto& dealt : process_ranks()->deal(jobs, {groups, of_each}, load, progress)) try {
          if (dealt.failure) std::rethrow_exception(dealt.failure);
          out << (dealt.result.starts_with("by ") ? "\n" : "a result is lost\n");
        } catch (const std::exception& error) {
          out << error.what() << "\n";
        }
    } catch (const Interrupted&) {
      out << "interrupted\n";
    }
    out << std::flush;
  };
  const int port = unused_port();
  std::vector<pid_t> processes;
  for (int rank = 0; rank < 2 * groups; ++rank) {
    processes.push_back(fork());
    BOOST_REQUIRE_GE(processes.back(), 0);
    if (processes.back() > 0) continue;
    for (const std::string& variable : torchrun_variables(rank, 2 * groups, port)) {
      const auto equals = variable.find('=');
      if (!variable.starts_with("LD_PRELOAD"))
        setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
    }
    int code = 0;
    try {
      on_processes(in_fork);
    } catch (...) {
      code = 1;
    }
    _exit(code);
  }
  Dealt dealt;
  dealt.codes = wait_for_processes(processes);
  std::ifstream lines(done);
  for (std::size_t job = 0, rank = 0; lines >> job >> rank;) dealt.ranks[job].insert(static_cast<int>(rank));
  std::istringstream messages(read_text(failed));
  for (std::string line; std::getline(messages, line);) dealt.failures.push_back(line);
  return dealt;
}

/// Three small prompts, in as many videos in a folder.
StringList batch(const fs::path& prompts, const fs::path& output, const StringList& more = {}) {
  return with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--prompts", prompts.string(), "--height", "32",
               "--width", "64", "--steps", "12", "--device", "cpu", "--reproducible", "--quiet", "--output",
               output.string()},
              more);
}
constexpr const char* videos[] = {"001.mp4", "002.mp4", "003.mp4"};
const StringList of_four{"--replicas", "2", "--topology", "guidance=2"};

fs::path write_prompts(const ScratchFolder& folder) {
  return folder.write("prompts.txt", "a red circle moves up\na blue square\na green star\n");
}

void check_videos(const ScratchFolder& folder, const fs::path& prompts, const fs::path& made) {
  const auto alone = run_program(batch(prompts, folder / "alone"), "OMP_NUM_THREADS=1");
  BOOST_REQUIRE_MESSAGE(alone.exit_code == 0, alone.errors);
  for (const char* const name : videos)
    BOOST_CHECK_MESSAGE(read_text(folder / "alone" / name) == read_text(made / name), name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_job_is_done_once_by_groups_of_processes) {
  const Dealt dealt = deal_jobs([](int, std::size_t) {});
  BOOST_CHECK(dealt.codes == std::vector<int>(4, 0));
  BOOST_CHECK(dealt.failures == StringList(job_count));
  BOOST_CHECK_EQUAL(dealt.ranks.size(), job_count);
  std::set<int> leaders;
  for (const auto& [job, ranks] : dealt.ranks) {
    BOOST_CHECK_EQUAL(ranks.size(), 1);
    leaders.insert(*ranks.begin());
  }
  BOOST_CHECK((leaders == std::set{0, 2}));
}

BOOST_AUTO_TEST_CASE(jobs_of_a_group_that_fails_go_back_to_the_others) {
  for (const int broken : {0, 2}) {
    const Dealt dealt = deal_jobs([&](int rank, std::size_t) {
      if (rank == broken) throw Error("no memory");
    });
    BOOST_CHECK(dealt.codes == std::vector<int>(4, 0));
    BOOST_CHECK(dealt.failures == StringList(job_count));
    BOOST_CHECK_EQUAL(dealt.ranks.size(), job_count);
    for (const auto& [job, ranks] : dealt.ranks) BOOST_CHECK((ranks == std::multiset{2 - broken}));
  }
}

BOOST_AUTO_TEST_CASE(a_job_that_fails_everywhere_fails_alone) {
  const Dealt dealt = deal_jobs([](int, std::size_t job) {
    if (job == 3) throw Error("no memory");
    if (job == 4) throw RequestError("a wrong prompt");
  });
  BOOST_REQUIRE_EQUAL(dealt.failures.size(), job_count);
  BOOST_CHECK_EQUAL(dealt.ranks.size(), job_count - 2);
  for (std::size_t job = 0; job < job_count; ++job)
    BOOST_CHECK_MESSAGE(dealt.failures[job].empty() == (job != 3 && job != 4), dealt.failures[job]);
  check_contains(dealt.failures[3], "no memory");
  check_contains(dealt.failures[4], ": a wrong prompt");
  BOOST_CHECK_EQUAL(dealt.failures[4].find("replica "), 0);
}

BOOST_AUTO_TEST_CASE(an_interrupt_of_one_process_stops_all_groups) {
  for (const int interrupted : {0, 2}) {
    const Dealt dealt = deal_jobs([&](int rank, std::size_t) {
      if (rank == interrupted) std::raise(SIGINT);
    });
    BOOST_CHECK((dealt.failures == StringList{"interrupted"}));
    BOOST_CHECK_LE(dealt.ranks.size(), 4);
  }
}

BOOST_AUTO_TEST_CASE(a_signal_to_the_first_rank_of_a_group_without_a_job_stops_the_others) {
  for (const int waiting : {0, 2}) {
    int jobs = 0;
    const Dealt dealt = deal_jobs(
        [&](int rank, std::size_t) {
          if (rank != waiting || ++jobs < static_cast<int>(job_count) - 1) return;
          std::thread([] {
            std::this_thread::sleep_for(std::chrono::milliseconds(300));
            kill(getpid(), SIGINT);
          }).detach();
        },
        waiting == 0 ? [](int rank) { return rank == 0 ? 1 : most_steps; }
                     : [](int rank) { return rank == 2 ? 1 : most_steps; });
    BOOST_CHECK(dealt.codes == std::vector<int>(4, 0));
    BOOST_CHECK((dealt.failures == StringList{"interrupted"}));
    BOOST_CHECK_EQUAL(dealt.ranks.size(), job_count - 1);
  }
}

BOOST_AUTO_TEST_CASE(a_signal_to_any_rank_of_a_group_without_a_job_stops_the_others) {
  for (const int waiting : {1, 3}) {
    const auto begin = std::chrono::steady_clock::now();
    const Dealt dealt = deal_jobs([](int, std::size_t) {},
                                  waiting == 1 ? [](int rank) { return rank == 0 ? 1 : most_steps; }
                                               : [](int rank) { return rank == 2 ? 1 : most_steps; },
                                  2, waiting);
    BOOST_CHECK(dealt.codes == std::vector<int>(4, 0));
    BOOST_CHECK((dealt.failures == StringList{"interrupted"}));
    BOOST_CHECK_EQUAL(dealt.ranks.size(), job_count - 1);
    BOOST_CHECK_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  }
}

BOOST_AUTO_TEST_CASE(an_interrupt_reaches_all_groups_when_rank_0s_gets_no_more_jobs) {
  const Dealt dealt = deal_jobs(
      [](int rank, std::size_t) {
        if (rank == 0) throw Error("no memory");
        std::raise(SIGINT);
      },
      [](int rank) {
        return std::array{1, 250, most_steps}[static_cast<std::size_t>(rank / 2)];
      },
      3);
  BOOST_CHECK(dealt.codes == std::vector<int>(6, 0));
  BOOST_CHECK((dealt.failures == StringList{"interrupted"}));
  for (const auto& [job, ranks] : dealt.ranks) BOOST_CHECK((ranks == std::multiset{2}));
}

BOOST_AUTO_TEST_CASE(a_first_rank_that_fails_outside_of_its_jobs_keeps_nobody) {
  const auto begin = std::chrono::steady_clock::now();
  for (const int broken : {0, 2}) {
    const Dealt dealt = deal_jobs(
        [&](int rank, std::size_t) {
          if (rank == broken) throw "no exception that a job may throw";
        },
        broken == 0 ? [](int rank) { return rank == 0 ? 50 : most_steps; } : few_steps);
    BOOST_CHECK(dealt.codes == std::vector<int>(4, 1));
    BOOST_CHECK_EQUAL(dealt.ranks.size(), broken == 0 ? 0 : job_count);
  }
  BOOST_CHECK_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

BOOST_AUTO_TEST_CASE(a_process_that_ends_without_a_word_keeps_nobody) {
  const auto begin = std::chrono::steady_clock::now();
  for (const int gone : {0, 2}) {
    const Dealt dealt = deal_jobs([&](int rank, std::size_t) {
      if (rank == gone) _exit(7);
    });
    BOOST_CHECK_EQUAL(std::ranges::count(dealt.codes, 7), 1);
    BOOST_CHECK_EQUAL(std::ranges::count(dealt.codes, 1), 3);
    if (gone > 0) BOOST_CHECK(dealt.failures == StringList(job_count));
  }
  BOOST_CHECK_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

BOOST_AUTO_TEST_CASE(videos_of_groups_of_processes_are_those_of_one_rank) {
  const ScratchFolder folder;
  const fs::path prompts = write_prompts(folder), log = folder / "run.ndjson";
  const auto codes = wait_for_processes(by_torchrun(
      4, batch(prompts, folder / "dealt", with(of_four, {"--log-file", log.string()})), folder / "err"));
  BOOST_REQUIRE_MESSAGE(codes == std::vector<int>(4, 0), read_text(folder / "err"));
  check_videos(folder, prompts, folder / "dealt");
  const auto has_step = [&](const char* name, const std::string& stage) {
    return read_text(folder / name).find(R"("stage":")" + stage + R"(","event":"step")") != std::string::npos;
  };
  for (const char* const name :
       {"run.ndjson", "run.rank1.ndjson", "run.replica1.ndjson", "run.replica1.rank1.ndjson"})
    BOOST_CHECK_MESSAGE(has_step(name, "denoise"), name);
  // Three videos of one chunk each.
  for (const char* const name : {"run.ndjson", "run.rank1.ndjson", "run.replica1.ndjson"})
    BOOST_CHECK_MESSAGE(has_step(name, "decode"), name);
  BOOST_CHECK_EQUAL(std::ranges::distance(fs::directory_iterator(folder / "dealt"), fs::directory_iterator{}),
                    3);
}

BOOST_AUTO_TEST_CASE(a_batch_whose_process_is_killed_or_stopped_goes_on) {
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const ScratchFolder folder;
    const fs::path prompts = write_prompts(folder), log = folder / "run.ndjson",
                   other = folder / "run.replica1.ndjson";
    const auto processes =
        by_torchrun(4,
                    batch(prompts, folder / "dealt",
                          with(of_four, {"--checkpoint-every", "1", "--log-file", log.string()})),
                    folder / "err");
    const auto has_begun = [&] {
      std::error_code none_yet;
      return fs::exists(other, none_yet) &&
             read_text(other).find(R"("event":"step","step":3)") != std::string::npos;
    };
    for (int i = 0; i < 3000 && !has_begun(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    BOOST_REQUIRE(has_begun());
    kill(processes[3], signal);
    const auto codes = wait_for_processes({processes[0], processes[1], processes[2]});
    kill(processes[3], SIGKILL);
    wait_for_processes({processes[3]});
    BOOST_CHECK_EQUAL(std::ranges::count(codes, 0), 0);
    check_contains(read_text(folder / "err"),
                   signal == SIGKILL ? "stepvideo: rank 3 is gone: " : "stepvideo: rank 3 is stopped: ");
    const auto resumed = run_program(batch(prompts, folder / "dealt", {"--resume"}), "OMP_NUM_THREADS=1");
    BOOST_CHECK_MESSAGE(resumed.exit_code == 0, resumed.errors);
    check_videos(folder, prompts, folder / "dealt");
  }
}
