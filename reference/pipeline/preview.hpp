// What the video is going to be, shown while it is made.
#pragma once
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/denoiser.hpp"
#include "pipeline/picture.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// The latent frames that stand for a video: the first of each of at most `most` chunks, evenly spread.
std::vector<int> preview_frames(LatentShape shape, int most);

/// Where the flow is heading: `frame` of latents + (1 - sigma) v, as if the guided velocity v = u + guidance
/// (c - u) stayed what it is. `velocities` (2, frames, channels, height, width): c of the prompt, then u of
/// the negative prompt, or c alone at guidance 1. Returns one latent frame.
Latents estimate_frame(const Latents& latents, LatentsView<const float> velocities, float sigma,
                       float guidance, int frame);

/// Pictures of one height from left to right, with a black gap between.
Picture side_by_side(const std::vector<Picture>& pictures);

/// The picture as lines of half blocks, two pixels above one another in each character, in 24-bit colour:
/// scaled down to fit `columns` by `rows` characters, never up.
std::vector<std::string> half_blocks(const Picture& picture, int columns, int rows);

struct PreviewOptions {
  bool in_terminal = false;
  int every = 0;                    ///< steps between two PNG files; 0: none
  std::filesystem::path path = {};  ///< a folder for step_00001.png, or a name with %d or %05d in it

  bool is_on() const { return in_terminal || every > 0; }
  /// Throws RequestError naming the flag: a path without steps or steps without a path, a name that is no
  /// pattern, a folder that cannot be written.
  void check() const;
  /// The file for a step.
  std::filesystem::path file(int step) const;
};

/// Shows steps in the terminal, into files, or both. What fails is told once and ends the previews, not the
/// run.
class Preview {
 public:
  Preview(PreviewOptions options, FrameDecoder decode, Progress& progress);

  void show(const StepState& step, Stage& stage);

 private:
  using Clock = std::chrono::steady_clock;
  Picture picture_of(const StepState& step) const;
  bool is_due_in_terminal(const StepState& step) const;

  PreviewOptions options_;
  FrameDecoder decode_;
  Progress& progress_;
  bool has_failed_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::duration spent_{};
};

}  // namespace stepvideo::pipeline
