// The flags that guard a run's work.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>

#include <fmt/format.h>

#include "commands/options.hpp"
#include "io/json.hpp"
#include "pipeline/step_file.hpp"

namespace stepvideo::commands {

struct KeepFlags {
  bool resumes = false, is_confirmed = false;
  std::optional<int> every, stop_after;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("Keeping work");
    parser
        .flag(
            "checkpoint-every", every,
            "write the latents beside the output every so many steps, and at the end [as often as costs less "
            "than 1 % of the time]")
        .toggle("resume", resumes,
                "go on where a run of the same settings stopped; what it had need not be given again")
        .flag("stop-after", stop_after,
              "make so many steps now, keep the work and, in generate, a picture of it; --resume goes on")
        .toggle("yes", is_confirmed, "begin what takes more than an hour without asking, on a terminal");
  }
  void check() const;

  /// `observer`, where there is one, and behind the last of --stop-after's steps the run's interrupt.
  pipeline::StepObserver stopping(pipeline::StepObserver observer, int steps_done, int steps) const;
  /// Does `work`. Where it was stopped by stopping(), says what is there and throws StoppedAsAsked.
  void run(const Progress& progress, const std::filesystem::path& output,
           const std::function<void()>& work) const;

  /// Whether there is work to go on with. Throws RequestError where there is and nobody asked to go on: a new
  /// run would write over it.
  bool finds_work(const std::filesystem::path& output) const {
    const auto file = pipeline::step_file_of(output);
    std::error_code unused;
    if (!std::filesystem::exists(file, unused)) return false;
    require(resumes, [&] {
      return fmt::format(
          "{} holds the work of a run that was stopped; --resume goes on with it, or remove it",
          file.string());
    });
    return true;
  }
};

/// Whether the output is there already, made by the run that `asked` describes. Throws RequestError naming
/// what differs when it was made by another. A file without a manifest, or whose manifest cannot be read, is
/// that of nobody's run: it is written over, as without --resume.
bool is_finished(const std::filesystem::path& output, const io::Json& asked);

}  // namespace stepvideo::commands
