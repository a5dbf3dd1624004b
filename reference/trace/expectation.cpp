#include "trace/expectation.hpp"

#include "plan/hardware_here.hpp"

namespace stepvideo::trace {

std::map<std::string, double> expected_stage_seconds(const plan::Cost& cost) {
  std::map<std::string, double> seconds;
  for (const char* const name : {"denoise", "decode"})
    if (const plan::PhaseCost* const phase = cost.phase(name); phase != nullptr)
      seconds[name] = phase->seconds;
  return seconds;
}

RunFacts run_facts(VideoShape video, int steps, const std::string& precision, const plan::Cost& cost) {
  return {{"frames", std::int64_t{video.frames}},
          {"height", std::int64_t{video.height}},
          {"width", std::int64_t{video.width}},
          {"steps", std::int64_t{steps}},
          {"precision", precision},
          {"topology", to_string(cost.topology)}};
}

void tell_run(Progress& progress, VideoShape video, int steps, const std::string& precision,
              const plan::Cost& cost) {
  for (const auto& [stage, seconds] : expected_stage_seconds(cost)) progress.expect(stage, seconds);
  progress.describe(run_facts(video, steps, precision, cost));
}

plan::Request request_here(const place::Place& place, const std::filesystem::path& model, VideoShape video,
                           int steps, plan::Arithmetic arithmetic) {
  plan::Request request;
  request.video = video;
  request.steps = steps;
  request.arithmetic = arithmetic;
  request.shapes = plan::ModelShapes::of(model);
  request.hardware = plan::hardware_here(place);
  request.link = plan::load_link(request.hardware.link);
  return request;
}

}  // namespace stepvideo::trace
