// Frames as they are decoded become a video of even times.
#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "host_memory.hpp"
#include "io/video.hpp"

namespace stepvideo::io {

/// Takes frames in the order in which they are shown.
class FrameCollector {
 public:
  /// With `wanted` the video has this rate: at each moment the frame that is on the screen then, times being
  /// known to `tick` seconds. Without it the frames stay as they are.
  FrameCollector(std::filesystem::path path, std::optional<FrameRate> wanted, double tick)
      : path_(std::move(path)),
        wanted_(wanted),
        tick_(tick),
        most_bytes_(static_cast<double>(read_host_memory().total_bytes) / 2) {}

  /// The next frame, (height, width, 3), from `time` in seconds on. Throws RequestError: another size than
  /// the first, more frames than half of this machine's memory holds.
  void add(int height, int width, Buffer<float> pixels, double time);

  int frames_seen() const { return frames_seen_; }
  /// Whether frames of that size can be added.
  bool has_size(int height, int width) const {
    return frames_seen_ == 0 || (height == height_ && width == width_);
  }
  /// All frames. `rate` is what the source says of itself, if anything: it is kept where it fits the times.
  /// `end`: until when the last is shown, 0 where that is not known; it is repeated for as long where a rate
  /// is wanted that the source does not say it has. Throws RequestError: no frames, times that are not even
  /// while no rate was wanted.
  Video finish(std::optional<FrameRate> rate, double end);

 private:
  void show_until(double time);
  void require_memory(double frames) const;
  double usual_gap() const;
  FrameRate measured_rate(FrameRate stated) const;

  std::filesystem::path path_;
  std::optional<FrameRate> wanted_;
  double tick_;
  double most_bytes_;
  int height_ = 0, width_ = 0, frames_seen_ = 0;
  std::vector<double> times_;
  std::vector<Buffer<float>> frames_;
  Buffer<float> shown_;  // the latest frame, while a rate is wanted
};

}  // namespace stepvideo::io
