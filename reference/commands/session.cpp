#include "commands/session.hpp"

#include <utility>

#include "plan/hardware_here.hpp"

namespace stepvideo::commands {

plan::Cost plan_run(const CommonOptions& options, RunPlan run) {
  plan::Request request{
      .video = run.video,
      .steps = run.steps,
      .arithmetic = run.precision == Precision::bf16 ? plan::Arithmetic::bf16 : plan::Arithmetic::fp32,
      .shapes = std::move(run.shapes),
      .hardware = plan::hardware_here(options.place),
      .encodes_text = run.is_whole,
      .decodes = run.is_whole,
      .vae_memory = run.vae_memory};
  request.link = plan::load_link(request.hardware.link);
  return plan::require_plan(request, static_cast<int>(options.topology.ranks()));
}

}  // namespace stepvideo::commands
