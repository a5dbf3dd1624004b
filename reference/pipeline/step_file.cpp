#include "pipeline/step_file.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "interrupt.hpp"
#include "io/manifest.hpp"
#include "io/pending_file.hpp"
#include "io/pending_folder.hpp"
#include "last_words.hpp"

namespace stepvideo::pipeline {
namespace {

namespace fs = std::filesystem;

fs::path beside(const fs::path& output, const char* ending) {
  const fs::path named = output.has_filename() ? output : output.parent_path();  // "frames/" is a folder
  const fs::path place = io::stands_alone(output) ? named / io::whole_folder(output).filename() : named;
  return place.string() + ending;
}

}  // namespace

fs::path step_file_of(const fs::path& output) {
  return beside(output, ".steps.safetensors");
}

fs::path latents_file_of(const fs::path& output) {
  return beside(output, ".latents.safetensors");
}

fs::path preview_file_of(const fs::path& output) {
  const fs::path file = beside(output, ".step%d.png");
  std::string name = file.filename().string();
  for (auto percent = name.find('%'); percent != name.rfind('%'); percent = name.find('%'))
    name[percent] = '_';
  return file.parent_path() / name;
}

void require_step_file(const std::string& flag, const fs::path& output, bool keeps_latents) {
  try {
    const io::PendingFile steps(step_file_of(output));
    if (keeps_latents) const io::PendingFile latents(latents_file_of(output));
  } catch (const Error& error) {
    throw RequestError(
        fmt::format("{}: work is kept beside the output, and {}; a shorter name or another place works", flag,
                    error.what()));
  }
}

void SavedRun::require_size(LatentShape shape, int channels) const {
  require(latents.shape == shape && latents.channels == channels, [&] {
    return file.string() + " holds latents of another size than its settings say; remove it and begin again";
  });
}

SavedRun read_step_file(const fs::path& path) {
  const auto manifest = io::read_manifest(path);
  require(manifest.has_value(), [&] {
    return path.string() + " is no file of a run that was stopped; remove it, or give another --output";
  });
  SavedRun saved{.manifest = *manifest,
                 .steps_done = io::field<int>(*manifest, path, "step"),
                 .latents = read_latents(path),
                 .conditioning = read_conditioning(path),
                 .file = path};
  const int steps = io::field<int>(*manifest, path, "steps");
  require(saved.steps_done >= 0 && saved.steps_done <= steps, [&] {
    return fmt::format("{} says that {} of {} steps are done; remove it and begin again", path.string(),
                       saved.steps_done, steps);
  });
  return saved;
}

void write_step_file(const fs::path& path, io::Json manifest, int steps_done, const Latents& latents,
                     const Conditioning& conditioning) {
  manifest["step"] = steps_done;
  const auto mask = conditioning.mask();
  auto tensors = named_tensors(conditioning, mask);
  tensors.push_back(named_tensor(latents));
  io::write_safetensors(path, tensors, {{"manifest", io::manifest_text(manifest)}});
}

double step_file_bytes(const Latents& latents, const Conditioning& conditioning) {
  return static_cast<double>(latents.values.size_bytes() + conditioning.llm_states.size_bytes() +
                             conditioning.clip_states.size_bytes());
}

StepKeeper::StepKeeper(fs::path file, const io::Json& manifest, const Conditioning& conditioning,
                       std::optional<int> every, int steps_kept)
    : file_(std::move(file)),
      manifest_(manifest),
      conditioning_(conditioning),
      every_(every),
      step_seen_(steps_kept),
      step_kept_(steps_kept) {}

bool StepKeeper::is_due(int step, int steps) const {
  if (step == steps) return true;
  if (every_) return step % *every_ == 0;
  using namespace std::chrono_literals;
  return Clock::now() - last_end_ >= std::max<Clock::duration>(10s, 100 * last_cost_);
}

std::string holds_work_text(const fs::path& step_file) {
  return step_file.string() + " holds the work, and the same command with --resume goes on";
}

void StepKeeper::observe(const StepState& state, Stage& stage) {
  const std::lock_guard lock(mutex_);
  if (!latents_)
    latents_ = {state.latents.shape, state.latents.channels, Buffer<float>(state.latents.size())};
  std::copy_n(state.latents.values.data(), state.latents.size(), latents_->values.data());
  step_seen_ = state.step;
  if (!is_due(state.step, state.steps)) return;
  const auto begin = Clock::now();
  try {
    write(state.step, state.latents);
    has_warned_ = false;
  } catch (const Error& error) {
    if (!std::exchange(has_warned_, true))
      stage.warn(fmt::format("{}; the run goes on, and what is interrupted now is lost", error.what()));
  }
  last_end_ = Clock::now();
  last_cost_ = last_end_ - begin;
}

bool StepKeeper::keep_last() noexcept {
  const std::lock_guard lock(mutex_);
  try {
    if (latents_ && step_seen_ != step_kept_ &&
        std::ranges::all_of(latents_->values, [](float value) { return std::isfinite(value); }))
      write(step_seen_, *latents_);
  } catch (const std::exception&) {
    // The file of an earlier step, if there is one, stays.
  }
  return step_kept_ > 0;
}

void StepKeeper::write(int step, const Latents& latents) {
  write_step_file(file_, manifest_, step, latents, conditioning_);
  step_kept_ = step;
}

void denoise_and_keep(Denoiser::Loaded& transformer, const Integration& run, StepKeeper& keeper,
                      const StepObserver& observer, Progress& progress) {
  const auto observe = [&](const StepState& state, Stage& stage) {
    keeper.observe(state, stage);
    if (observer) observer(state, stage);
  };
  Integration guarded = run;
  guarded.rescue = [&] { keeper.keep_last(); };
  const LastWords last_words([&](const std::string&) {
    return keeper.keep_last() ? holds_work_text(keeper.file()) : std::string();
  });
  try {
    transformer.denoise(guarded, progress, observe);
  } catch (const Interrupted& interrupt) {
    if (!keeper.keep_last()) throw;
    throw Interrupted(fmt::format("interrupted {}; {}", interrupt.where(), holds_work_text(keeper.file())),
                      interrupt.where());
  } catch (const std::exception&) {
    keeper.keep_last();
    throw;
  }
}

}  // namespace stepvideo::pipeline
