#include <fmt/format.h>

#include "commands/choices.hpp"
#include "commands/command.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/provenance.hpp"
#include "commands/session.hpp"
#include "commands/vae_flags.hpp"
#include "commands/video_flags.hpp"
#include "commands/weight_flags.hpp"
#include "io/extension.hpp"
#include "io/safetensors.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/video_codec.hpp"

namespace stepvideo::commands {
namespace {

/// What encode found in the video that became these latents.
io::FrameRate rate_of(const std::filesystem::path& latents) {
  if (io::extension_of(latents) != ".safetensors") return {};
  const auto metadata = io::SafetensorsFile::open(latents).metadata();
  const auto entry = metadata.find("frame_rate");
  return entry == metadata.end() ? io::FrameRate{} : io::parse_frame_rate(latents.string(), entry->second);
}

void decode_on_this_process(const Arguments& arguments) {
  std::filesystem::path latents_path, output;
  VideoFlags video_flags;
  VaeFlags vae_flags;
  ProvenanceFlags provenance;
  OverwriteFlag own;
  WeightFlags weights;
  FlagParser parser("decode", "latents become a video");
  weights.declare(parser)
      .flag("latents", latents_path,
            "safetensors file with latents (or z, or encode's mean), (1, frames, channels, height, width)")
      .flag("output", output, io::video_output_help)
      .require("latents")
      .require("output")
      .everyday({"model", "latents", "output", "fps", "chroma", "vae-memory", "vae-precision", "device",
                 "precision", "overwrite", "quiet"});
  video_flags.declare(parser);
  vae_flags.declare(parser);
  provenance.declare(parser);
  own.declare(parser);
  parser.on_ranks();
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  require(!common.topology,
          [] { return "--topology: decode deals chunks to ranks, which needs none; --gpus alone works"; });
  io::require_video_output("--output", output);
  const auto settings = vae_flags.settings(common, common.numerics.precision);

  const pipeline::VideoCodec codec(weights.source(common));
  const pipeline::Latents latents = pipeline::read_latents(latents_path);
  codec.require_channels(latents);
  io::VideoOptions options = video_flags.options(video_flags.fps ? io::FrameRate{} : rate_of(latents_path));
  const VideoShape video = VideoShape::from_latent(latents.shape);
  io::require_video_fits("--output", output, video, options);
  const std::vector<plan::PhaseCost> costs{plan_decode(common, video, settings, codec.config())};
  require_codec_memory(common, video,
                       common.place.is_gpu() ? codec.decode_bytes(video, settings) : costs.front().bytes());

  io::Json manifest =
      start_manifest("decode", common, common.numerics, weights.components({io::Component::vae}), provenance);
  weights.put(manifest);
  video_flags.put(manifest);
  vae_flags.put(manifest);
  add_source(manifest, "latents", latents_path, provenance);
  pipeline::Ranks ranks = ranks_of(common, {.topology = {.ulysses = common.ranks}}, 1, {});
  set_decoders(ranks, costs);
  agree_on(common, {&manifest}, ranks.topology);
  if (is_follower())
    return pipeline::process_ranks()->follow({.load_decoder = codec.loader(settings, ranks.decoders)}, ranks);
  own.require_own(output, manifest);
  Progress progress = start_progress(common);
  tell_decoders(progress, common, ranks, costs);
  progress.describe({{"output", output.string()}});
  note_choices(progress, {&manifest});
  options.manifest = manifest_writer(manifest, progress, provenance);
  try {
    codec.load_decoder(settings, progress, ranks)->decode(latents, output, options, progress);
  } catch (const io::NonFiniteVideo& failure) {
    throw Error(
        fmt::format("{}; {}latents that a lower --cfg-scale made work", failure.what(),
                    settings.precision == Precision::fp32 ? "" : "--vae-precision fp32 may hold it, or "));
  }
  progress.print_summary();
}

}  // namespace

void decode(const Arguments& arguments) {
  pipeline::on_processes([&] { decode_on_this_process(arguments); });
}

}  // namespace stepvideo::commands
