#include "commands/command.hpp"
#include "commands/session.hpp"
#include "io/pending_file.hpp"
#include "pipeline/video_codec.hpp"

namespace stepvideo::commands {

void encode(const Arguments& arguments) {
  std::filesystem::path video_path, output;
  FlagParser parser("encode", "a video becomes latents");
  parser.common()
      .flag("video", video_path, "video to read: .safetensors with video in [-1, 1], or what libav decodes")
      .flag("output", output, "safetensors file to write: mean and logvar")
      .require("video")
      .require("output");
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  io::require_writable_output("--output", output, {".safetensors"});

  const pipeline::VideoCodec codec(common.model);
  const io::Video video = io::read_video(video_path);
  Progress progress = start_progress(common);
  const auto moments = codec.encode(video, common.precision, progress);

  const io::Shape shape = {1, moments.shape.frames, codec.latent_channels(), moments.shape.height,
                           moments.shape.width};
  io::write_safetensors(output, {io::named_tensor("mean", shape, moments.mean),
                                 io::named_tensor("logvar", shape, moments.log_variance)});
  progress.print_summary();
}

}  // namespace stepvideo::commands
