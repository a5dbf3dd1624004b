#include "commands/ramp_ladder.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace stepvideo::ramp {

std::string to_string(const Rung& rung) {
  return fmt::format("{}, {} step{}", stepvideo::to_string(rung.video), rung.steps,
                     rung.steps == 1 ? "" : "s");
}

std::vector<Rung> ladder(const Rung& full) {
  std::vector<Rung> rungs;
  const auto add = [&](const Rung& rung) {
    if (std::ranges::find(rungs, rung) == rungs.end() && rung != full) rungs.push_back(rung);
  };
  // Below 32 pixels a latent has one row, and what is measured there is overhead alone.
  const auto part = [](int extent, int divisor) {
    constexpr int least = 2 * VideoShape::pixels_per_latent;
    return std::min(extent, VideoShape::nearest_multiple(std::max(extent / divisor, least),
                                                         VideoShape::pixels_per_latent));
  };
  const auto sized = [&](int frames, int divisor) {
    return VideoShape{frames, part(full.video.height, divisor), part(full.video.width, divisor)};
  };
  const int few_steps = std::min(2, full.steps);
  constexpr int smallest = 4;

  for (long long frames = VideoShape::chunk_frames; frames < full.video.frames; frames *= 2)
    add({sized(static_cast<int>(frames), smallest), few_steps});
  for (const int divisor : {smallest, 2, 1}) add({sized(full.video.frames, divisor), few_steps});
  for (long long steps = 4; steps * 2 <= full.steps; steps *= 2) add({full.video, static_cast<int>(steps)});
  if (rungs.empty()) rungs.push_back(full);
  return rungs;
}

}  // namespace stepvideo::ramp
