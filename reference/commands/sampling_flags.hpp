// The flags that size and sample a video; where they are silent the checkpoint's own defaults hold.
#pragma once
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <stepvideo/core/shape.hpp>

#include "commands/options.hpp"
#include "io/model_folder.hpp"
#include "pipeline/denoiser.hpp"

namespace stepvideo::commands {

struct SamplingFlags {
  std::optional<int> frames, height, width, steps;
  std::optional<double> cfg_scale, time_shift;
  std::optional<std::string> preset;
  std::optional<SeedWish> seed;
  bool takes_nearest_size = false;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("Size and sampling");
    parser.flag("frames", frames, "1, or a multiple of 17 [the checkpoint's default]")
        .flag("width", width, "pixels, a multiple of 16 [the checkpoint's default]")
        .flag("height", height, "pixels, a multiple of 16 [the checkpoint's default]")
        .toggle("fit", takes_nearest_size, "take the nearest valid size instead of refusing one off the grid")
        .flag("steps", steps, "sampler steps [the checkpoint's default]")
        .flag("cfg-scale", cfg_scale, "guidance; 1 follows the prompt alone [the checkpoint's default]")
        .flag("time-shift", time_shift, "above 1 spends more steps near the noise [the checkpoint's default]")
        .choice(
            "preset", preset, {"turbo"},
            "turbo: what the release's Turbo checkpoint wants; 15 steps, guidance 5, time shift 17 [none]")
        .flag("seed", seed, "of the noise; one seed, one video, random draws one and says it [0]");
  }

  /// The size asked for. Throws RequestError when it is off the grid and --fit was not given.
  VideoShape video(const io::GenerationDefaults& defaults, const CommonOptions& common) const {
    const VideoShape asked{frames.value_or(defaults.frames), height.value_or(defaults.height),
                           width.value_or(defaults.width)};
    const VideoShape nearest = asked.nearest();
    if (takes_nearest_size && !(asked == nearest) && !common.is_quiet)
      std::cerr << "--fit: " << to_string(asked) << " becomes " << to_string(nearest) << '\n';
    if (takes_nearest_size) return nearest;
    try {
      require_video_on_grid(asked);
    } catch (const RequestError& error) {
      throw RequestError(std::string(error.what()) + "; --fit takes it");
    }
    return asked;
  }

  /// What the flags say, then the preset, then the defaults.
  pipeline::SamplerSettings settings(const io::GenerationDefaults& defaults) const {
    pipeline::SamplerSettings base{defaults.steps, defaults.cfg_scale, defaults.time_shift};
    if (preset) {
      base = {.steps = 15,
              .cfg_scale = 5,
              .time_shift = 17};  // the release's page of the Turbo checkpoint: 10 to 15
    }
    return {steps.value_or(base.steps), cfg_scale.value_or(base.cfg_scale),
            time_shift.value_or(base.time_shift)};
  }
};

}  // namespace stepvideo::commands
