#include "commands/command.hpp"
#include "commands/sampling_flags.hpp"
#include "commands/session.hpp"
#include "io/pending_file.hpp"
#include "pipeline/denoiser.hpp"
#include "trace/expectation.hpp"

namespace stepvideo::commands {

void denoise(const Arguments& arguments) {
  std::filesystem::path conditioning_path, output;
  std::optional<std::filesystem::path> latents_path;
  SamplingFlags sampling;
  FlagParser parser("denoise", "noise becomes latents, for given text states");
  parser.common()
      .flag("conditioning", conditioning_path, "safetensors file that encode-text wrote")
      .flag("latents", latents_path, "start from these latents instead of noise; they bring their own size")
      .flag("output", output, "safetensors file to write: latents")
      .require("conditioning")
      .require("output");
  sampling.declare(parser);
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  io::require_writable_output("--output", output, {".safetensors"});

  const pipeline::Denoiser denoiser(common.model);
  const auto conditioning = pipeline::read_conditioning(conditioning_path);
  io::require_known_scheduler(common.model);
  const auto defaults = io::read_generation_defaults(common.model);
  const auto settings = sampling.settings(defaults);
  std::optional<plan::Cost> cost;
  const auto start = [&] {
    if (latents_path) return pipeline::read_latents(*latents_path);
    const VideoShape video = sampling.video(defaults, common);
    cost = plan_run(common, {.shapes = {.transformer = denoiser.config()},
                             .video = video,
                             .steps = settings.steps,
                             .is_whole = false});
    return pipeline::noise_latents(sampling.seed, video.latent(), denoiser.config().in_channels);
  };
  auto latents = start();
  denoiser.require_fits(conditioning.llm_width, conditioning.clip_width, settings, latents.channels);

  Progress progress = start_progress(common);
  if (cost)
    trace::tell_run(progress, VideoShape::from_latent(latents.shape), settings.steps,
                    to_string(common.precision), *cost);
  denoiser.denoise(conditioning, settings, common.precision, latents, progress);
  pipeline::write_latents(output, latents);
  progress.print_summary();
}

}  // namespace stepvideo::commands
