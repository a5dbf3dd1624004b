#include "commands/keep_flags.hpp"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "commands/generate_wishes.hpp"
#include "interrupt.hpp"
#include "io/extension.hpp"
#include "io/frame_crop.hpp"
#include "io/frame_rate.hpp"
#include "io/manifest.hpp"
#include "io/printable.hpp"

namespace stepvideo::commands {
namespace {

using io::Json;

/// How the manifest says that frames are written, as flags: what it is silent about has its default.
std::string video_of(const Json& manifest, const std::filesystem::path& output) {
  const auto text = [&](const char* name, const char* otherwise) {
    return io::field_or<std::string>(manifest, output, name, otherwise);
  };
  const char* const usual_chroma = io::extension_of(output) == ".y4m" ? "444" : "420";
  std::string flags =
      fmt::format("--fps {} and --chroma {}",
                  to_string(io::parse_frame_rate(output.string() + ": fps", text("fps", "25"))),
                  io::printable(text("chroma", usual_chroma)));
  const std::string crop = text("crop", "");
  if (!crop.empty())
    flags += " and --crop " + to_string(io::parse_frame_crop(output.string() + ": crop", crop));
  if (io::field_or(manifest, output, "denoise", false)) flags += " and --denoise";
  return flags;
}

}  // namespace

void KeepFlags::check() const {
  for (const auto& [name, steps] : {std::pair{"checkpoint-every", every}, {"stop-after", stop_after}})
    require(!steps || *steps >= 1, [&] { return fmt::format("--{} is {}; 1 or more works", name, *steps); });
}

pipeline::StepObserver KeepFlags::stopping(pipeline::StepObserver observer, int steps_done, int steps) const {
  if (!stop_after || steps - steps_done <= *stop_after) return observer;
  return [observer = std::move(observer), last = steps_done + *stop_after](const pipeline::StepState& state,
                                                                           Stage& stage) {
    if (observer) observer(state, stage);
    if (state.step == last) interrupt_this_process();
  };
}

void KeepFlags::run(const Progress& progress, const std::filesystem::path& output,
                    const std::function<void()>& work) const {
  try {
    work();
  } catch (const Interrupted& interrupt) {
    const auto file = pipeline::step_file_of(output);
    std::error_code unused;
    if (!stop_after || is_signalled() || !std::filesystem::exists(file, unused)) throw;
    progress.tell(fmt::format("stopped {}, as --stop-after asks; {}", interrupt.where(),
                              pipeline::holds_work_text(file)));
    throw StoppedAsAsked(interrupt.what(), interrupt.where());
  }
}

bool is_finished(const std::filesystem::path& output, const Json& asked) {
  std::error_code unused;
  if (!std::filesystem::exists(output, unused)) return false;
  std::optional<Json> found;
  try {
    found = io::read_manifest(output);
  } catch (const RequestError&) {  // neither a video nor tensors
  }
  if (!found) return false;
  if (asked["command"] == "generate") found = generate_manifest_of(output, "--resume");
  pipeline::require_same_run(asked, *found, output.string());
  const std::string video = video_of(asked, output), found_video = video_of(*found, output);
  const auto vae_precision = [&](const Json& manifest) {
    const std::string whole = io::field_or<std::string>(manifest, output, "precision", "fp32");
    return io::field_or<std::string>(manifest, output, "vae_precision", whole);
  };
  require(vae_precision(asked) == vae_precision(*found), [&] {
    return fmt::format(
        "{} is of a run with --vae-precision {}, and this one has {}; give what it had, or remove it",
        output.string(), io::printable(vae_precision(*found)), vae_precision(asked));
  });
  require(video == found_video, [&] {
    return fmt::format("{} is of a run with {}, and this one has {}; give what it had, or remove it",
                       output.string(), found_video, video);
  });
  return true;
}

}  // namespace stepvideo::commands
