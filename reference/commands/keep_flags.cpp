#include "commands/keep_flags.hpp"

#include <utility>

#include "commands/generate_wishes.hpp"
#include "interrupt.hpp"
#include "io/extension.hpp"
#include "io/frame_rate.hpp"
#include "io/manifest.hpp"
#include "io/printable.hpp"

namespace stepvideo::commands {
namespace {

using io::Json;

/// How the manifest says that frames are written: what it is silent about has its default.
std::pair<io::FrameRate, std::string> video_of(const Json& manifest, const std::filesystem::path& output) {
  const auto text = [&](const char* name, const char* otherwise) {
    return io::field_or<std::string>(manifest, output, name, otherwise);
  };
  const char* const usual_chroma = io::extension_of(output) == ".y4m" ? "444" : "420";
  return {io::parse_frame_rate(output.string() + ": fps", text("fps", "25")), text("chroma", usual_chroma)};
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
  const auto [rate, chroma] = video_of(asked, output);
  const auto [found_rate, found_chroma] = video_of(*found, output);
  const auto vae_precision = [&](const Json& manifest) {
    const std::string whole = io::field_or<std::string>(manifest, output, "precision", "fp32");
    return io::field_or<std::string>(manifest, output, "vae_precision", whole);
  };
  require(vae_precision(asked) == vae_precision(*found), [&] {
    return fmt::format(
        "{} is of a run with --vae-precision {}, and this one has {}; give what it had, or remove it",
        output.string(), io::printable(vae_precision(*found)), vae_precision(asked));
  });
  require(rate == found_rate && chroma == found_chroma, [&] {
    return fmt::format(
        "{} is of a run with --fps {} and --chroma {}, and this one has {} and {}; give what it had, or "
        "remove "
        "it",
        output.string(), to_string(found_rate), io::printable(found_chroma), to_string(rate), chroma);
  });
  return true;
}

}  // namespace stepvideo::commands
