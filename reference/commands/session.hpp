// What a command that runs a model sets up.
#pragma once
#include <vector>

#include "commands/options.hpp"
#include "interrupt.hpp"
#include "io/json.hpp"
#include "pipeline/ranks.hpp"
#include "pipeline/video_codec.hpp"
#include "plan/calibration.hpp"
#include "plan/plan_topology.hpp"
#include "progress.hpp"
#include "thread_room.hpp"

namespace stepvideo::commands {

/// Progress as the flags ask for it; from here on signals stop the run as catch_interrupts() says. Throws
/// Error where a limit of addresses has no room for the run's threads.
inline Progress start_progress(const CommonOptions& options) {
  if (!options.place.is_gpu()) take_thread_room();
  catch_interrupts();
  return Progress({.is_quiet = options.is_quiet,
                   .log_file = options.log_file,
                   .ranks = options.ranks,
                   .answers_interrupts = true,
                   .clock = std::chrono::seconds(1)});
}

/// Says which GPU the models run on, where it is one: `auto` chose it.
inline void tell_place(const Progress& progress, const CommonOptions& options) {
  if (options.place.is_gpu()) progress.tell("on " + options.place.name());
}

/// What a run is, for its plan.
struct RunPlan {
  plan::ModelShapes shapes;
  VideoShape video;
  int steps = 1;
  pipeline::Numerics numerics = {};
  std::optional<model::vae::MemoryLimit> vae_memory = {};  ///< without it the usual one
  bool is_whole = true;  ///< with the text encoders and the decoder, or the transformer alone
  bool is_guided = true;
};

/// What ramp keeps its measurements of this machine under.
plan::CalibrationKey calibration_key(const CommonOptions& options, Precision precision);

/// The topology that was asked for, or else the best, and what it is predicted to cost, by what ramp measured
/// of this machine where it left that. Throws RequestError, before a weight is loaded, when it breaks a rule
/// or the device's memory cannot hold it.
plan::Cost plan_run(const CommonOptions& options, RunPlan run);

/// What decoding the video with this VAE is predicted to cost on the ranks that were asked for: of replicas
/// that are processes, on all of theirs.
plan::PhaseCost plan_decode(const CommonOptions& options, VideoShape video,
                            const pipeline::CodecSettings& settings, const model::VaeConfig& config);

/// Where ranks are processes, makes sure that all of them were asked for the same, by their manifests, the
/// topology, and the flags that change what is written. Throws RequestError naming two ranks, the field and
/// both values.
void agree_on(const CommonOptions& options, const std::vector<const io::Json*>& manifests, Topology topology,
              const std::vector<std::filesystem::path>& outputs = {});
/// Whether this process is a rank that leaves all but its part of the transformer to rank 0.
bool is_follower();

/// The run's ranks on the topology of its plan, whose logs tell `facts`.
pipeline::Ranks ranks_of(const CommonOptions& options, const plan::Cost& cost, int layers, RunFacts facts);
/// As many of them decode together as the memory holds for each of the videos.
void set_decoders(pipeline::Ranks& ranks, const std::vector<plan::PhaseCost>& decodes);
/// Says so where that is not all that a video could keep busy.
void tell_decoders(const Progress& progress, const CommonOptions& options, const pipeline::Ranks& ranks,
                   const std::vector<plan::PhaseCost>& decodes);

}  // namespace stepvideo::commands
