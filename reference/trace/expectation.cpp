#include "trace/expectation.hpp"

#include "plan/hardware.hpp"

namespace stepvideo::trace {

std::map<std::string, double> expected_stage_seconds(const plan::Cost& cost) {
  std::map<std::string, double> seconds;
  for (const char* const name : {"denoise", "decode"})
    if (const plan::PhaseCost* const phase = cost.phase(name); phase != nullptr)
      seconds[name] = phase->seconds;
  return seconds;
}

plan::Request request_on_host(const std::filesystem::path& model, VideoShape video, int steps,
                              plan::Arithmetic arithmetic) {
  plan::Request request;
  request.video = video;
  request.steps = steps;
  request.arithmetic = arithmetic;
  request.shapes = plan::ModelShapes::of(model);
  request.hardware = plan::load_hardware("cpu");
  request.link = plan::load_link("pcie");
  return request;
}

}  // namespace stepvideo::trace
