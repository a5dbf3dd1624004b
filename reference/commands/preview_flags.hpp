// The flags that show a video while it is made.
#pragma once
#include <iostream>
#include <memory>
#include <optional>

#include "commands/options.hpp"
#include "pipeline/preview.hpp"
#include "pipeline/video_codec.hpp"

namespace stepvideo::commands {

struct PreviewFlags {
  bool in_terminal = false;
  std::optional<int> every;
  std::filesystem::path path;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("Watching");
    parser.toggle("preview", in_terminal, "show in the terminal what the video is going to be")
        .flag("preview-every", every, "write a PNG of it every so many steps, and at the last")
        .flag("preview-path", path, "where to: a folder, or a name such as out/%05d.png");
  }

  /// Throws RequestError naming the flag that cannot be followed.
  pipeline::PreviewOptions options(const CommonOptions& common) const {
    stepvideo::require(!in_terminal || !common.is_quiet, [] {
      return "--preview draws and --quiet forbids it; leave one out, or write --preview-every files";
    });
    stepvideo::require(!every || *every >= 1,
                       [&] { return "--preview-every is " + std::to_string(*every) + "; 1 or more works"; });
    pipeline::PreviewOptions options{.in_terminal = in_terminal, .every = every.value_or(0), .path = path};
    options.check();
    return options;
  }
};

/// What shows every step, or nothing where the options ask for none. Says once where nothing can be drawn.
/// `codec` is asked for the VAE's decoder, which stays in memory.
inline pipeline::StepObserver preview_observer(const pipeline::PreviewOptions& options,
                                               const pipeline::VideoCodec& codec,
                                               const pipeline::CodecSettings& settings, Progress& progress) {
  if (options.in_terminal && !progress.can_draw())
    std::cerr << "--preview: this is no terminal, nothing is drawn; --preview-every writes files\n";
  if (options.every == 0 && !(options.in_terminal && progress.can_draw())) return {};
  const auto preview =
      std::make_shared<pipeline::Preview>(options, codec.load_frame_decoder(settings, progress), progress);
  return [preview](const pipeline::StepState& state, Stage& stage) { preview->show(state, stage); };
}

}  // namespace stepvideo::commands
