// Runs of a small model whose ranks are processes, and what may happen to one of them.
#pragma once
#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "io/json.hpp"
#include "pipeline/step_file.hpp"
#include "reference/denoise_arguments.hpp"
#include "reference/small_model.hpp"
#include "support/program.hpp"

namespace stepvideo::testing {

namespace fs = std::filesystem;

/// Starts the program as so many ranks, whose errors go to a file. Returns the processes to wait for.
using StartRanks =
    std::function<std::vector<pid_t>(int ranks, const StringList& arguments, const fs::path& errors)>;

/// "NAME=VALUE"
inline std::string variable(const char* name, int value) {
  return std::string(name) + "=" + std::to_string(value);
}

/// The variables of one rank, as torchrun sets them.
inline StringList torchrun_variables(int rank, int ranks, int port) {
  return {variable("RANK", rank),       variable("WORLD_SIZE", ranks),
          variable("LOCAL_RANK", rank), variable("LOCAL_WORLD_SIZE", ranks),
          "MASTER_ADDR=localhost",      variable("MASTER_PORT", port),
          "OMP_NUM_THREADS=1",          "LD_PRELOAD=" STEPVIDEO_EXIT_ON_SIGNAL};
}
/// As srun does.
inline StringList srun_variables(int rank, int ranks, int port) {
  return {variable("SLURM_PROCID", rank),
          variable("SLURM_STEP_NUM_TASKS", ranks),
          variable("SLURM_STEP_TASKS_PER_NODE", ranks),
          variable("SLURM_JOB_ID", port),
          "SLURM_STEP_ID=0",
          "SLURM_NODEID=0",
          "SLURM_STEP_NODELIST=localhost",
          "OMP_NUM_THREADS=1",
          "LD_PRELOAD=" STEPVIDEO_EXIT_ON_SIGNAL};
}

template <class VariablesOf>
StartRanks launcher(VariablesOf&& variables_of) {
  return [=](int ranks, const StringList& arguments, const fs::path& errors) {
    std::vector<pid_t> processes;
    const int port = unused_port();
    for (int rank = 0; rank < ranks; ++rank)
      processes.push_back(start_program(arguments, errors.string(), variables_of(rank, ranks, port)));
    return processes;
  };
}
inline const StartRanks by_torchrun = launcher(torchrun_variables), by_srun = launcher(srun_variables);

/// The arguments of a run of the small model, with a file at every step.
inline StringList denoise_small(const fs::path& output, int steps, const StringList& more = {}) {
  static const SmallModel model;
  static const fs::path text = [] {
    const fs::path file = model.folder / "text.safetensors";
    pipeline::write_conditioning(file, model.conditioning);
    return file;
  }();
  return denoise_arguments(model.folder.path(), text, output, steps,
                           with({"--weights", "random:11", "--frames", "17"}, more));
}

/// The latents that one process makes in so many steps.
inline const std::string& on_one_rank(int steps) {
  static std::map<int, std::string> made;
  std::string& bytes = made[steps];
  if (bytes.empty()) {
    const ScratchFolder folder;
    const auto result = run_program(denoise_small(folder / "l.safetensors", steps), "OMP_NUM_THREADS=1");
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    bytes = read_text(folder / "l.safetensors");
  }
  return bytes;
}

inline void check_contains(const std::string& text, const std::string& phrase) {
  BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

/// What happens to a rank behind a step: it is killed, stopped, or exits.
struct Fault {
  enum Kind : int {
    killed = SIGKILL,
    stopped = SIGSTOP,
    exits = SIGUSR1
  } kind = killed;  ///< by which signal
  int rank = 1, step = 3;
};

/// A run of three ranks in which a fault comes, in a folder of its own.
class FaultyRun {
 public:
  static constexpr int ranks = 3, steps = 30;

  FaultyRun(const StartRanks& start, const Fault& fault) : fault_(fault) {
    processes_ = start(ranks,
                       denoise_small(output(), steps,
                                     {"--topology", "ulysses=3,sharding=uneven", "--log-file",
                                      (folder_ / "run.ndjson").string(), "--deadline-floor", "0.5"}),
                       folder_ / "err");
  }

  /// Sends the signal when the rank has come so far. Returns false while it has not.
  bool try_fault() {
    if (hit_ != 0) return true;
    if (!has_logged(R"("event":"step","step":)" + std::to_string(fault_.step) + ",")) return false;
    for (int rank = 0; rank < ranks; ++rank) all_.push_back(process_of(rank));
    hit_ = all_[std::size_t(fault_.rank)];
    BOOST_REQUIRE_EQUAL(kill(hit_, fault_.kind), 0);
    hit_at_ = std::chrono::steady_clock::now();
    return true;
  }

  /// Takes down what has ended. Returns whether all others than a stopped rank have.
  bool has_ended() {
    std::erase_if(processes_, [&](pid_t process) {
      int status = 0;
      const bool has_ended = waitpid(process, &status, WNOHANG) != 0;
      if (has_ended) codes_.push_back(exit_code_of(status));
      return has_ended;
    });
    const bool only_stopped = fault_.kind == Fault::stopped && processes_ == std::vector<pid_t>{hit_};
    if (!processes_.empty() && !only_stopped) return false;
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - hit_at_).count();
    return true;
  }

  /// What it must have left: nobody, no port, no file but the step's, with which the run goes on to the bits
  /// of one rank. Returns what was said.
  std::string check_end() {
    for (const pid_t process : processes_) {  // the stopped one, which a launcher would end
      kill(process, SIGKILL);
      waitpid(process, nullptr, 0);
    }
    const auto is_there = [](pid_t process) { return kill(process, 0) == 0; };
    for (int i = 0; i < 200 && std::ranges::any_of(all_, is_there); ++i)  // a launcher's children
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    BOOST_CHECK(std::ranges::none_of(all_, is_there));
    BOOST_CHECK_LE(std::ranges::count(codes_, 0), fault_.kind == Fault::exits ? 1 : 0);
    BOOST_CHECK_LT(seconds_, 10);
    const fs::path step_file = pipeline::step_file_of(output());
    const int done = fs::exists(step_file) ? pipeline::read_step_file(step_file).steps_done : 0;
    BOOST_CHECK_MESSAGE(done >= fault_.step - 1, done << " steps are kept of " << fault_.step);
    const auto resumed = run_program(denoise_small(output(), steps, {"--resume"}), "OMP_NUM_THREADS=1");
    BOOST_CHECK_MESSAGE(resumed.exit_code == 0, resumed.errors);
    BOOST_CHECK(read_text(output()) == on_one_rank(steps));
    // What a killed process was writing goes with the next run of the same output.
    for (const std::string& name : folder_.names())
      BOOST_CHECK_MESSAGE(name == "err" || name.ends_with(".ndjson") || name == output().filename(),
                          name << " is left");
    return read_text(folder_ / "err");
  }
  const Fault& fault() const { return fault_; }
  double seconds() const { return seconds_; }
  /// Whether the run was over before the fault came.
  bool is_missed() const { return hit_ == 0 || std::ranges::count(codes_, 0) == std::ssize(codes_); }

 private:
  /// Whether the rank's log holds the phrase now; each part of it is read once.
  bool has_logged(const std::string& phrase) {
    std::ifstream log(log_of(fault_.rank), std::ios::binary);
    log.seekg(read_);
    const std::string more{std::istreambuf_iterator<char>(log), {}};
    const auto last_line = more.rfind('\n');
    if (last_line != more.npos) read_ += std::streamoff(last_line) + 1;
    return more.find(phrase) != more.npos;
  }
  /// The log's first line says it.
  pid_t process_of(int rank) const {
    std::ifstream log(log_of(rank));
    std::string first;
    std::getline(log, first);
    return io::Json::parse(first)["run"]["process"].get<int>();
  }
  fs::path output() const { return folder_ / "l.safetensors"; }
  fs::path log_of(int rank) const {
    return folder_ / (rank == 0 ? "run.ndjson" : "run.rank" + std::to_string(rank) + ".ndjson");
  }

  ScratchFolder folder_;
  Fault fault_;
  std::vector<pid_t> processes_;  ///< that have not ended
  std::vector<pid_t> all_;        ///< the ranks
  std::vector<int> codes_;
  std::streamoff read_ = 0;  ///< of the log
  pid_t hit_ = 0;
  std::chrono::steady_clock::time_point hit_at_;
  double seconds_ = 0;
};

/// So many runs, some at a time, with faults at random steps of random ranks; `named` is what must be said of
/// one.
inline void check_faults(const StartRanks& start, int count,
                         const std::function<std::string(const Fault&)>& named) {
  constexpr std::size_t at_a_time = 6;
  constexpr Fault::Kind kinds[] = {Fault::killed, Fault::stopped, Fault::exits};
  std::mt19937 engine(std::random_device{}());
  std::vector<std::unique_ptr<FaultyRun>> runs, over;
  for (int started = 0, missed = 0; std::ssize(over) < count;) {
    if (runs.size() < at_a_time && std::ssize(over) + std::ssize(runs) < count)
      runs.push_back(std::make_unique<FaultyRun>(
          start, Fault{.kind = kinds[started++ % 3],
                       .rank = std::uniform_int_distribution(0, FaultyRun::ranks - 1)(engine),
                       .step = std::uniform_int_distribution(1, FaultyRun::steps / 2)(engine)}));
    for (auto& run : runs) {
      run->try_fault();
      if (!run->has_ended()) continue;
      if (run->is_missed())
        BOOST_REQUIRE_LT(++missed, count);
      else
        over.push_back(std::move(run));
      run.reset();
    }
    std::erase(runs, nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  double slowest = 0;
  for (const auto& run : over) {
    check_contains(run->check_end(), named(run->fault()));
    slowest = std::max(slowest, run->seconds());
  }
  BOOST_TEST_MESSAGE(count << " faults: all were out within " << slowest << " s");
}

}  // namespace stepvideo::testing
