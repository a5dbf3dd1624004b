// What a run says of itself before it begins and when it is done.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include <stepvideo/core/shape.hpp>

#include "commands/options.hpp"
#include "io/frame_rate.hpp"
#include "plan/cost_model.hpp"
#include "progress.hpp"

namespace stepvideo::commands {

/// What is left to do, by the plan.
struct Forecast {
  std::string what;  ///< "17 frames of 96x96, 16 steps"
  double seconds = 0, peak_bytes = 0;

  /// Adds a video of which `steps_done` steps are done.
  void add(const plan::Cost& cost, int steps_done);
};

/// Says it. Throws RequestError naming --yes where that is more than an hour, somebody sits at a terminal and
/// `is_confirmed` is false.
void tell_forecast(const Progress& progress, const CommonOptions& common, const Forecast& forecast,
                   bool is_confirmed);

/// Warns where the model states the sizes that it was trained on, and the video has another.
void tell_untrained_size(const Progress& progress, const std::filesystem::path& model, VideoShape video);

/// What tell_forecast() says: `now` is in seconds since 1970.
std::string forecast_text(const Forecast& forecast, const std::string& place, std::int64_t now);

/// Says what was made, and how to see it.
void tell_video(const Progress& progress, const std::filesystem::path& output, VideoShape video,
                io::FrameRate rate, std::uint64_t seed);

/// The same as text: `player` is the name of a program that plays videos, or empty.
std::string video_text(const std::filesystem::path& output, VideoShape video, io::FrameRate rate,
                       std::uint64_t seed, const std::string& player);

}  // namespace stepvideo::commands
