#include "commands/command.hpp"
#include "commands/sampling_flags.hpp"
#include "commands/session.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/prompt_encoder.hpp"
#include "pipeline/video_codec.hpp"
#include "trace/expectation.hpp"

namespace stepvideo::commands {

void generate(const Arguments& arguments) {
  std::string prompt, negative;
  std::filesystem::path output;
  SamplingFlags sampling;
  FlagParser parser("generate", "a prompt becomes a video");
  parser.common()
      .flag("prompt", prompt,
            "what the video shows; English or Chinese, empty for no guidance towards anything")
      .flag("negative", negative, "what it should not show [empty]")
      .flag("output", output, io::video_output_help)
      .require("prompt")
      .require("output");
  sampling.declare(parser);
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();

  // Everything that can be refused is refused here, before the first weight is loaded.
  io::require_video_output("--output", output);
  io::require_known_scheduler(common.model);
  const auto defaults = io::read_generation_defaults(common.model);
  const VideoShape video = sampling.video(defaults, common);
  const auto settings = sampling.settings(defaults);
  const pipeline::PromptEncoder encoder(common.model);
  const pipeline::Denoiser denoiser(common.model);
  const pipeline::VideoCodec codec(common.model);
  io::require_video_output_size("--output", output, video);
  text::require_valid_utf8(prompt, "--prompt");
  text::require_valid_utf8(negative, "--negative");
  denoiser.require_fits(encoder.llm_width(), encoder.clip_width(), settings, codec.latent_channels());

  const plan::Cost cost = plan_run(
      common, {.shapes = plan::ModelShapes::of(common.model), .video = video, .steps = settings.steps});

  Progress progress = start_progress(common);
  trace::tell_run(progress, video, settings.steps, to_string(common.precision), cost);
  const auto conditioning = encoder.encode({prompt, negative}, common.precision, progress);
  auto latents = pipeline::noise_latents(sampling.seed, video.latent(), denoiser.config().in_channels);
  denoiser.denoise(conditioning, settings, common.precision, latents, progress);
  codec.decode(latents, common.precision, output, {}, progress);
  progress.print_summary();
}

}  // namespace stepvideo::commands
