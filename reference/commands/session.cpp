#include "commands/session.hpp"

#include <utility>

namespace stepvideo::commands {

plan::Cost plan_run(const CommonOptions& options, RunPlan run) {
  plan::Request request{
      .video = run.video,
      .steps = run.steps,
      .arithmetic = run.precision == Precision::bf16 ? plan::Arithmetic::bf16 : plan::Arithmetic::fp32,
      .shapes = std::move(run.shapes),
      .hardware = plan::load_hardware("cpu"),
      .encodes_text = run.is_whole,
      .decodes = run.is_whole};
  request.link = plan::load_link(request.hardware.link);
  return plan::require_plan(request, static_cast<int>(options.topology.ranks()));
}

}  // namespace stepvideo::commands
