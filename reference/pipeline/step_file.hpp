// Work that must not be lost: the latents of a run that is not finished, beside its output.
#pragma once
#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "io/json.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/latents.hpp"

namespace stepvideo::pipeline {

/// Where a run that writes `output` keeps its latents: OUTPUT.steps.safetensors. Of a folder that stands
/// alone (io/pending_folder.hpp) in it: OUTPUT/NAME.steps.safetensors. The other two likewise.
std::filesystem::path step_file_of(const std::filesystem::path& output);

/// Where a run that keeps its final latents leaves them: OUTPUT.latents.safetensors.
std::filesystem::path latents_file_of(const std::filesystem::path& output);

/// Throws RequestError naming `flag` unless the first, and where latents are kept the second, can be written.
void require_step_file(const std::string& flag, const std::filesystem::path& output,
                       bool keeps_latents = false);

/// Where a run that stops on the way leaves its pictures, as a pattern for their steps: OUTPUT.step%d.png.
std::filesystem::path preview_file_of(const std::filesystem::path& output);

/// A step file's content: tensor `latents`, those of the text states, and a manifest with the run's settings
/// and `step`, the steps done. `decode` reads it too.
struct SavedRun {
  io::Json manifest;
  int steps_done = 0;
  Latents latents;
  Conditioning conditioning;
  std::filesystem::path file;

  /// Throws RequestError naming the file unless its latents are of that shape.
  void require_size(LatentShape shape, int channels) const;
};

/// Throws RequestError naming the file: not there, damaged, or not a step file.
SavedRun read_step_file(const std::filesystem::path& path);

/// Writes one: beside, then renamed. Throws Error when the disk refuses.
void write_step_file(const std::filesystem::path& path, io::Json manifest, int steps_done,
                     const Latents& latents, const Conditioning& conditioning);

/// The bytes that a step file of these takes, about.
double step_file_bytes(const Latents& latents, const Conditioning& conditioning);

/// What is said of work that is there.
std::string holds_work_text(const std::filesystem::path& step_file);

/// Writes the step file as the steps pass: each time whole, beside and then renamed. Any thread may ask it to
/// keep the last.
class StepKeeper {
 public:
  /// `every`: the steps between two files; without it as often as writing takes less than 1 % of the time,
  /// and not within 10 s. The last step is kept in any case. `steps_kept`: what the file holds already. What
  /// the manifest and the conditioning refer to must live as long as the keeper.
  StepKeeper(std::filesystem::path file, const io::Json& manifest, const Conditioning& conditioning,
             std::optional<int> every, int steps_kept = 0);

  /// After a step: writes the file when it is due. A disk that refuses costs a warning, not the run.
  void observe(const StepState& state, Stage& stage);
  /// Writes the last state seen, where that is not done and its latents are finite. Returns whether the file
  /// now holds work. For runs that were stopped.
  bool keep_last() noexcept;
  /// The steps that the file's latents have behind them; 0 without a file. On the thread of the steps.
  int step_kept() const { return step_kept_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool is_due(int step, int steps) const;
  void write(int step, const Latents& latents);

  std::filesystem::path file_;
  const io::Json& manifest_;
  const Conditioning& conditioning_;
  std::optional<int> every_;
  Clock::time_point last_end_ = Clock::now();
  Clock::duration last_cost_{};
  std::mutex mutex_;                // of what follows
  std::optional<Latents> latents_;  // of the last state seen: the run's own change meanwhile
  int step_seen_ = 0, step_kept_ = 0;
  bool has_warned_ = false;
};

/// Denoises and lets `keeper` and then `observer`, where there is one, see every step. What stops the run is
/// thrown again when the last step is kept; an Interrupted then says how to go on.
void denoise_and_keep(Denoiser::Loaded& transformer, const Integration& run, StepKeeper& keeper,
                      const StepObserver& observer, Progress& progress);

}  // namespace stepvideo::pipeline
