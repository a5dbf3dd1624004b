// Runs of a small model whose ranks are processes, and what may happen to one of them.
#pragma once
#include <algorithm>
#include <csignal>
#include <functional>
#include <map>

#include "io/json.hpp"
#include "pipeline/step_file.hpp"
#include "reference/small_model.hpp"
#include "support/program.hpp"

namespace stepvideo::testing {

namespace fs = std::filesystem;

/// Starts the program as so many ranks, whose errors go to a file. Returns the processes to wait for.
using StartRanks =
    std::function<std::vector<pid_t>(int ranks, const StringList& arguments, const fs::path& errors)>;

/// The first of some ports that nobody else asks for: below those which the system gives away.
inline int unused_port() {
  static int count = 0;
  return 12000 + (getpid() * 41 + ++count) % 1000 * 8;
}

/// The variables of one rank, as torchrun sets them.
inline StringList torchrun_variables(int rank, int ranks, int port) {
  const auto number = [](const char* name, int value) { return std::string(name) + "=" + std::to_string(value); };
  return {number("RANK", rank),       number("WORLD_SIZE", ranks),
          number("LOCAL_RANK", rank), number("LOCAL_WORLD_SIZE", ranks),
          "MASTER_ADDR=localhost",    number("MASTER_PORT", port),
          "OMP_NUM_THREADS=1"};
}
/// As srun does.
inline StringList srun_variables(int rank, int ranks, int port) {
  const auto number = [](const char* name, int value) { return std::string(name) + "=" + std::to_string(value); };
  return {number("SLURM_PROCID", rank),
          number("SLURM_STEP_NUM_TASKS", ranks),
          number("SLURM_STEP_TASKS_PER_NODE", ranks),
          number("SLURM_JOB_ID", port),
          "SLURM_STEP_ID=0",
          "SLURM_NODEID=0",
          "SLURM_STEP_NODELIST=localhost",
          "OMP_NUM_THREADS=1"};
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
  return with({"denoise",
               "--model",
               model.folder.path().string(),
               "--weights",
               "random:11",
               "--conditioning",
               text.string(),
               "--frames",
               "17",
               "--height",
               "64",
               "--width",
               "96",
               "--steps",
               std::to_string(steps),
               "--checkpoint-every",
               "1",
               "--reproducible",
               "--quiet",
               "--device",
               "cpu",
               "--output",
               output.string()},
              more);
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

/// What happens to a rank behind a step.
struct Fault {
  int signal = SIGKILL, rank = 1, step = 3;
};

/// A run of three ranks in which a fault comes, in a folder of its own.
class FaultyRun {
 public:
  static constexpr int ranks = 3, steps = 60;

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
    const std::string log = read_text(log_of(fault_.rank));
    if (log.find(R"("event":"step","step":)" + std::to_string(fault_.step) + ",") == log.npos) return false;
    for (int rank = 0; rank < ranks; ++rank) {
      const std::string first = read_text(log_of(rank));
      all_.push_back(io::Json::parse(first.substr(0, first.find('\n')))["run"]["process"].get<int>());
    }
    hit_ = all_[std::size_t(fault_.rank)];
    BOOST_REQUIRE_EQUAL(kill(hit_, fault_.signal), 0);
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
    const bool only_stopped = fault_.signal == SIGSTOP && processes_ == std::vector<pid_t>{hit_};
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
    BOOST_CHECK(std::ranges::none_of(codes_, [](int code) { return code == 0; }));
    BOOST_CHECK_LT(seconds_, 10);
    const fs::path step_file = pipeline::step_file_of(output());
    for (const std::string& name : folder_.names())
      BOOST_CHECK_MESSAGE(name == "err" || name.ends_with(".ndjson") || name == step_file.filename(),
                          name << " is left");
    const int done = pipeline::read_step_file(step_file).steps_done;
    BOOST_CHECK_MESSAGE(done >= fault_.step - 1, done << " steps are kept of " << fault_.step);
    const auto resumed = run_program(denoise_small(output(), steps, {"--resume"}), "OMP_NUM_THREADS=1");
    BOOST_CHECK_MESSAGE(resumed.exit_code == 0, resumed.errors);
    BOOST_CHECK(read_text(output()) == on_one_rank(steps));
    return read_text(folder_ / "err");
  }
  double seconds() const { return seconds_; }

 private:
  fs::path output() const { return folder_ / "l.safetensors"; }
  fs::path log_of(int rank) const {
    return folder_ / (rank == 0 ? "run.ndjson" : "run.rank" + std::to_string(rank) + ".ndjson");
  }

  ScratchFolder folder_;
  Fault fault_;
  std::vector<pid_t> processes_;  ///< that have not ended
  std::vector<pid_t> all_;        ///< the ranks
  std::vector<int> codes_;
  pid_t hit_ = 0;
  std::chrono::steady_clock::time_point hit_at_;
  double seconds_ = 0;
};

}  // namespace stepvideo::testing
