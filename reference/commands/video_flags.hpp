// The flags that say how a video is written.
#pragma once
#include <optional>
#include <string>

#include "commands/options.hpp"
#include "io/video.hpp"

namespace stepvideo::commands {

struct VideoFlags {
  std::optional<std::string> fps, chroma;

  void declare(FlagParser& parser) {
    parser.flag("fps", fps, "frames a second of the output, as in 25, 23.976 or 30000/1001 [25]")
        .flag("chroma", chroma, "420 or 444: colour for every four pixels or for each [420; 444 in .y4m]");
  }

  /// Throws RequestError naming the flag whose value does not work. `usual` is the rate without --fps.
  io::VideoOptions options(io::FrameRate usual = {}) const {
    stepvideo::require(!chroma || *chroma == "420" || *chroma == "444",
                       [&] { return "--chroma: '" + *chroma + "' is no subsampling here; 420 and 444 are"; });
    io::VideoOptions options{.rate = fps ? io::parse_frame_rate("--fps", *fps) : usual};
    if (chroma) options.chroma = *chroma == "420" ? io::Chroma::yuv420 : io::Chroma::yuv444;
    return options;
  }
};

}  // namespace stepvideo::commands
