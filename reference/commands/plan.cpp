#include <iostream>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/options.hpp"
#include "exit_code.hpp"
#include "io/model_folder.hpp"
#include "plan/batch.hpp"
#include "plan/report.hpp"

namespace stepvideo::commands {

void plan(const Arguments& arguments) {
  int gpus = 1;
  std::optional<int> prompts, frames, height, width, steps;
  std::string gpu = "h200";
  std::optional<std::string> link, precision, attention;
  std::optional<std::filesystem::path> model;
  bool wants_json = false;
  FlagParser parser("plan", "which topology fits, what it costs, and how long it takes, without a GPU");
  parser.flag("gpus", gpus, "ranks to plan for [1]")
      .flag("prompts", prompts, "videos of a batch, for which replicas may beat sharding [no end of them]")
      .flag("frames", frames, "1, or a multiple of 17 [the checkpoint's default, or 204]")
      .flag("width", width, "pixels, a multiple of 16 [the checkpoint's default, or 992]")
      .flag("height", height, "pixels, a multiple of 16 [the checkpoint's default, or 544]")
      .flag("steps", steps, "sampler steps [the checkpoint's default, or 50]")
      .flag("gpu", gpu, "h200, h100, h20, a100, l40s, rtx4090, cpu, or a JSON file of that form [h200]")
      .offering(plan::hardware_names())
      .flag("link", link, "nvlink, nvlink3, pcie, or a JSON file [what such a GPU usually has]")
      .offering(plan::link_names())
      .flag("model", model, "folder of a checkpoint, whose shapes count [the release's]")
      .choice("precision", precision, {"fp32", "bf16", "fp8"}, "fp32, bf16 or fp8 [bf16; fp32 on the CPU]")
      .choice("attention", attention, {"fp32", "bf16", "fp8"},
              "of the video's attention to itself: bf16 or fp8 [--precision]")
      .toggle("json", wants_json, "print one JSON object");
  if (!parser.parse(arguments)) return;

  const auto defaults = model ? io::read_generation_defaults(*model) : io::GenerationDefaults{};
  plan::Request request{.video = {frames.value_or(defaults.frames), height.value_or(defaults.height),
                                  width.value_or(defaults.width)},
                        .steps = steps.value_or(defaults.steps),
                        .hardware = plan::load_hardware(gpu)};
  request.link = plan::load_link(link.value_or(request.hardware.link));
  request.arithmetic = plan::parse_arithmetic(precision.value_or(request.hardware.is_host ? "fp32" : "bf16"));
  if (attention) request.attention = plan::parse_arithmetic(*attention);
  if (model) request.shapes = plan::ModelShapes::of(*model);
  const plan::Plan result = plan::plan_topology(request, gpus);
  const plan::BatchPlan batch = plan::plan_batch(request, gpus, prompts);
  if (wants_json) {
    auto json = to_json(result);
    json["batch"] = to_json(batch);
    std::cout << json.dump(2) << '\n';
  } else {
    std::cout << to_table(result) << to_table(batch);
  }
  if (result.best() == nullptr) {
    std::cout << std::flush;
    throw ExitCode{1};
  }
}

}  // namespace stepvideo::commands
