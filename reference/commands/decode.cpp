#include "commands/command.hpp"
#include "commands/session.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/video_codec.hpp"

namespace stepvideo::commands {

void decode(const Arguments& arguments) {
  std::filesystem::path latents_path, output;
  FlagParser parser("decode", "latents become a video");
  parser.common()
      .flag("latents", latents_path,
            "safetensors file with latents (or z), (1, frames, channels, height, width)")
      .flag("output", output, "video to write: .mp4, or .safetensors with video in [-1, 1]")
      .require("latents")
      .require("output");
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  io::require_video_output("--output", output);

  const pipeline::VideoCodec codec(common.model);
  const pipeline::Latents latents = pipeline::read_latents(latents_path);
  codec.require_channels(latents);
  const VideoShape video = VideoShape::from_latent(latents.shape);
  io::require_video_output_size("--output", output, video);
  pipeline::require_memory(video, codec.decode_bytes(video));

  Progress progress = start_progress(common);
  codec.decode(latents, common.precision, output, progress);
  progress.print_summary();
}

}  // namespace stepvideo::commands
