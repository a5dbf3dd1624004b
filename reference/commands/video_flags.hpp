// The flags that say how a video is written.
#pragma once
#include <optional>
#include <string>
#include <utility>

#include "commands/options.hpp"
#include "io/json.hpp"
#include "io/video.hpp"

namespace stepvideo::commands {

struct VideoFlags {
  std::optional<std::string> fps, chroma, crop;
  bool denoises = false;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("The file");
    parser.flag("fps", fps, "frames a second of the output, as in 25, 23.976 or 30000/1001 [25]")
        .choice("chroma", chroma, {"420", "444"},
                "420 or 444: colour for every four pixels or for each [420; 444 in .y4m]")
        .flag("crop", crop,
              "WIDTHxHEIGHT to keep around the centre of each frame; the release keeps 960x540, upright "
              "540x960 "
              "[all]")
        .toggle("denoise", denoises,
                "average frames over time before they are encoded, as the release does (atadenoise)");
  }

  /// What a manifest tells of it, where the flags are silent; and into a manifest what was asked for.
  void take_missing(const io::Json& manifest) {
    for (const auto& [name, value] : {std::pair{"fps", &fps}, {"chroma", &chroma}, {"crop", &crop}})
      if (!*value && manifest.contains(name) && manifest[name].is_string())
        *value = manifest[name].get<std::string>();
    denoises |= manifest.value("denoise", io::Json()) == io::Json(true);
  }
  void put(io::Json& manifest) const {
    if (fps) manifest["fps"] = *fps;
    if (chroma) manifest["chroma"] = *chroma;
    if (crop) manifest["crop"] = *crop;
    if (denoises) manifest["denoise"] = true;
  }

  /// Throws RequestError naming the flag whose value does not work. `usual` is the rate without --fps.
  io::VideoOptions options(io::FrameRate usual = {}) const {
    stepvideo::require(!chroma || *chroma == "420" || *chroma == "444",
                       [&] { return "--chroma: '" + *chroma + "' is no subsampling here; 420 and 444 are"; });
    io::VideoOptions options{.rate = fps ? io::parse_frame_rate("--fps", *fps) : usual};
    if (chroma) options.chroma = *chroma == "420" ? io::Chroma::yuv420 : io::Chroma::yuv444;
    if (crop) options.crop = io::parse_frame_crop("--crop", *crop);
    options.denoises = denoises;
    return options;
  }
};

}  // namespace stepvideo::commands
