// The flags that say in which arithmetic the video VAE works, and in how much memory.
#pragma once
#include <cstddef>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "commands/options.hpp"
#include "commands/values.hpp"
#include "io/json.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/video_codec.hpp"

namespace stepvideo::commands {

struct VaeFlags {
  std::optional<std::string> memory, precision;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("The VAE");
    parser
        .flag("vae-memory", memory,
              "what the VAE may work in beside its weights, as in 6GB; the same video, with fewer frames "
              "together [6.5GB on a GPU, on the CPU what there is]")
        .choice(
            "vae-precision", precision, {"fp32", "bf16", "fp8"},
            "the VAE's arithmetic: fp32, bf16, or fp8: bf16 whose convolutions decode in fp8, on a Hopper "
            "GPU [--precision]");
  }
  /// What a manifest tells of it, where the flag is silent; and into a manifest what was asked for.
  void take_missing(const io::Json& manifest) {
    const auto take = [&](std::optional<std::string>& mine, const char* field) {
      if (const auto found = manifest.find(field); !mine && found != manifest.end() && found->is_string())
        mine = found->get<std::string>();
    };
    take(memory, "vae_memory");
    take(precision, "vae_precision");
  }
  void put(io::Json& manifest) const {
    if (memory) manifest["vae_memory"] = *memory;
    if (precision) manifest["vae_precision"] = *precision;
  }

  /// Throws RequestError naming the flag.
  pipeline::CodecSettings settings(const CommonOptions& common, Precision of_the_run) const {
    pipeline::CodecSettings settings{.place = common.place, .precision = pipeline::without_fp8(of_the_run)};
    if (memory) settings.memory_bytes = parse_size("--vae-memory", *memory);
    if (!precision) return settings;
    require(pipeline::parse_precision(*precision).has_value(), [&] {  // a manifest's has not been looked at
      return fmt::format("--vae-precision: '{}' is not one of fp32, bf16 and fp8", *precision);
    });
    settings.precision = *precision == "fp32" ? Precision::fp32 : Precision::bf16;
    settings.convolves_in_fp8 = *precision == "fp8";
    require(!settings.convolves_in_fp8 || pipeline::serves_fp8_convolutions(common.place), [&] {
      return fmt::format(
          "--vae-precision fp8 needs a GPU of compute capability 9.0, and the run is on {}; "
          "--vae-precision bf16 works",
          common.place.name());
    });
    return settings;
  }
};

/// Throws RequestError when `bytes` for a video of this size are not there: this machine's memory, or what is
/// free on the place's GPU.
inline void require_codec_memory(const CommonOptions& common, VideoShape video, double bytes) {
  if (common.place.is_gpu())
    place::require_free_memory(common.place, bytes);
  else
    pipeline::require_memory(video, bytes);
}

}  // namespace stepvideo::commands
