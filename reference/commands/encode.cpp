#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/provenance.hpp"
#include "commands/session.hpp"
#include "commands/vae_flags.hpp"
#include "commands/weight_flags.hpp"
#include "io/pending_file.hpp"
#include "io/video_digest.hpp"
#include "io/video_fit.hpp"
#include "model/vae_deal.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/video_codec.hpp"
#include "plan/hardware_here.hpp"

namespace stepvideo::commands {
namespace {

/// Whether the latents can say at what rate to play them: decode takes no others.
bool keeps_rate(const io::Video& video) {
  return video.rate && is_usual(*video.rate);
}

std::string describe(const io::Video& video) {
  std::string text = to_string(video.shape);
  if (video.rate) text += " at " + to_string(*video.rate) + " frames a second";
  if (video.rate && !keeps_rate(video)) text += " (which is not kept: decode --fps sets another)";
  return text;
}

/// The video as the model can take it, and what was read.
io::Video read_on_grid(const std::filesystem::path& path, std::optional<io::FrameRate> rate,
                       std::optional<io::Fit> fit, bool is_quiet) {
  io::Video video = io::read_video(path, rate);
  std::string told = fmt::format("{}: {}", path.string(), describe(video));
  const bool is_on_grid = frames_fill_whole_chunks(video.shape) && size_is_on_the_latent_grid(video.shape);
  if (!is_on_grid && fit) {
    video = io::fit_video(video, *fit);
    told += " becomes " + to_string(video.shape);
  } else if (!is_on_grid) {
    try {
      require_video_on_grid(video.shape);
    } catch (const RequestError& error) {
      throw RequestError(
          fmt::format("{}: {}; --fit crop or --fit pad makes it fit", path.string(), error.what()));
    }
  }
  if (!is_quiet) std::cerr << told << '\n';
  return video;
}

}  // namespace

namespace {

/// As many ranks as have a chunk, and as the memory has encoders for.
pipeline::Ranks encoding_ranks(const CommonOptions& common, const pipeline::VideoCodec& codec,
                               VideoShape video, const pipeline::CodecSettings& settings, double bytes) {
  pipeline::Ranks ranks = ranks_of(common, {.topology = {.ulysses = common.ranks}}, 1, {});
  const double memory = static_cast<double>(pipeline::available_memory_bytes(host));
  const int fitting = static_cast<int>(std::clamp(memory / bytes, 1.0, 1.0 * common.ranks));
  ranks.decoders = model::vae::decoders_for(video.chunks(), fitting);
  // A chunk's encoding takes about what its decoding does.
  const plan::PhaseCost decode = plan_decode(common, video, settings, codec.config());
  ranks.decode_turn_seconds = decode.seconds / decode.turns;
  return ranks;
}

void encode_on_this_process(const Arguments& arguments) {
  std::filesystem::path video_path, output;
  std::optional<std::string> fps, fit;
  ProvenanceFlags provenance;
  OverwriteFlag own;
  WeightFlags weights;
  VaeFlags vae_flags;
  FlagParser parser("encode", "a video becomes latents");
  weights.declare(parser)
      .flag("video", video_path,
            "video to read: what libav decodes, a folder of PNG files, or .safetensors with video in [-1, 1]")
      .flag("fps", fps, "take this many frames a second; of what has no rate, its rate [as the video is]")
      .choice("fit", fit, {"crop", "pad"}, "crop or pad a size off the grid [refuse it]")
      .flag("output", output, "safetensors file to write: mean and logvar")
      .require("video")
      .require("output")
      .everyday({"model", "video", "fit", "fps", "output", "vae-memory", "device", "precision", "overwrite",
                 "quiet"});
  vae_flags.declare(parser);
  provenance.declare(parser);
  own.declare(parser);
  parser.on_processes();
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  require(!common.topology,
          [] { return "--topology: encode deals chunks to ranks, which needs none; leave it out"; });
  io::require_writable_output("--output", output, {".safetensors"});

  const auto rate = fps ? std::optional(io::parse_frame_rate("--fps", *fps)) : std::nullopt;
  std::optional<io::Fit> how;
  if (fit) how = io::parse_fit("--fit", *fit);
  require(vae_flags.precision != "fp8",
          [] { return "--vae-precision fp8 is for decoding; fp32 and bf16 encode"; });
  const auto settings = vae_flags.settings(common, common.numerics.precision);

  const pipeline::VideoCodec codec(weights.source(common));
  const io::Video video = read_on_grid(video_path, rate, how, common.is_quiet);
  const double bytes = codec.encode_bytes(video.shape, settings);
  // With what the program itself takes, as plans count it.
  require_codec_memory(
      common, video.shape,
      bytes + (common.place.is_gpu() ? 0 : plan::hardware_here(common.place).reserved_bytes));
  io::Json manifest =
      start_manifest("encode", common, common.numerics, weights.components({io::Component::vae}), provenance);
  weights.put(manifest);
  if (fps) manifest["fps"] = *fps;
  if (fit) manifest["fit"] = *fit;
  vae_flags.put(manifest);
  manifest["video"] = io::video_digest(video);
  add_video_source(manifest, video_path, provenance);
  const auto ranks = encoding_ranks(common, codec, video.shape, settings, bytes);
  agree_on(common, {&manifest}, ranks.topology);
  if (is_follower())
    return pipeline::process_ranks()->follow(
        {.encode = [&](Progress& progress) { codec.encode(video, settings, progress, ranks); }}, ranks);
  own.require_own(output, manifest);
  Progress progress = start_progress(common);
  const auto moments = codec.encode(video, settings, progress, ranks);

  const io::Shape shape = {1, moments.shape.frames, codec.latent_channels(), moments.shape.height,
                           moments.shape.width};
  add_stages(manifest, progress, provenance);
  auto metadata = as_metadata(manifest);
  if (keeps_rate(video)) metadata["frame_rate"] = to_string(*video.rate);
  io::write_safetensors(output,
                        {io::named_tensor("mean", shape, moments.mean),
                         io::named_tensor("logvar", shape, moments.log_variance)},
                        metadata);
  progress.print_summary();
}

}  // namespace

void encode(const Arguments& arguments) {
  pipeline::on_processes([&] { encode_on_this_process(arguments); });
}

}  // namespace stepvideo::commands
