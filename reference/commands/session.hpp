// What a command that runs a model sets up.
#pragma once
#include "commands/options.hpp"
#include "interrupt.hpp"
#include "plan/plan_topology.hpp"
#include "progress.hpp"

namespace stepvideo::commands {

/// Progress as the flags ask for it; from here on Ctrl-C stops the run between steps.
inline Progress start_progress(const CommonOptions& options) {
  catch_interrupts();
  return Progress({.is_quiet = options.is_quiet, .log_file = options.log_file});
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
  Precision precision = Precision::fp32;
  std::optional<model::vae::MemoryLimit> vae_memory = {};  ///< without it the usual one
  bool is_whole = true;  ///< with the text encoders and the decoder, or the transformer alone
};

/// The best topology for the run and what it is predicted to cost. Throws RequestError, before a weight is
/// loaded, when the device's memory cannot hold it.
plan::Cost plan_run(const CommonOptions& options, RunPlan run);

}  // namespace stepvideo::commands
