#include "io/frame_collector.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {

void FrameCollector::add(int height, int width, Buffer<float> pixels, double time) {
  if (frames_seen_ == 0) {
    height_ = height;
    width_ = width;
  }
  require(height == height_ && width == width_, [&] {
    return fmt::format("{}: frame {} is {}x{} after frames of {}x{}; one size works", path_.string(),
                       frames_seen_, width, height, width_, height_);
  });
  ++frames_seen_;
  times_.push_back(time);
  if (wanted_) {
    show_until(time);
    shown_ = std::move(pixels);
  } else {
    require_memory(static_cast<double>(frames_.size()) + 1);
    frames_.push_back(std::move(pixels));
  }
}

/// The frame on the screen, once for each moment of the wanted rate before `time`.
void FrameCollector::show_until(double time) {
  if (shown_.size() == 0) return;
  const double period = 1 / wanted_->value(), slack = std::min(0.6 * tick_ + 1e-6, period / 4);
  // Ahead of the loop: a time that is far off would fill the memory first.
  require_memory(std::max(static_cast<double>(frames_.size()), (time - times_.front()) / period));
  while (times_.front() + static_cast<double>(frames_.size()) * period < time - slack) {
    Buffer<float> copy(shown_.size());
    std::ranges::copy(shown_, copy.begin());
    frames_.push_back(std::move(copy));
  }
}

void FrameCollector::require_memory(double frames) const {
  const double bytes = frames * 3.0 * sizeof(float) * height_ * width_;
  require(bytes <= most_bytes_, [&] {
    return fmt::format(
        "{} decodes to more than {:.1f} GB, half of this machine's memory; a shorter or "
        "smaller video works",
        path_.string(), most_bytes_ * 1e-9);
  });
}

double FrameCollector::usual_gap() const {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < times_.size(); ++i) gaps.push_back(times_[i] - times_[i - 1]);
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::ranges::nth_element(gaps, middle);
  return *middle;
}

/// What the file states, unless its times say otherwise by more than their own precision.
FrameRate FrameCollector::measured_rate(FrameRate stated) const {
  if (times_.size() < 2) return stated;
  const double gap = (times_.back() - times_.front()) / static_cast<double>(times_.size() - 1);
  if (std::abs(gap * stated.value() - 1) < 0.01) return stated;
  return {std::max(1, static_cast<int>(std::lround(1000 / gap))), 1000};
}

Video FrameCollector::finish(std::optional<FrameRate> rate, double end) {
  require(frames_seen_ > 0, [&] { return path_.string() + " holds no frames; a video with frames works"; });
  if (wanted_) {
    const double period = 1 / rate.value_or(FrameRate{}).value();
    const double gap = times_.size() > 1 && usual_gap() > 0 ? usual_gap() : period;
    const bool is_held = rate != wanted_ && end > times_.back() + 1.5 * gap;
    show_until(is_held ? end : times_.back() + gap);
    if (frames_.empty()) frames_.push_back(std::move(shown_));
    rate = wanted_;
  } else if (rate && times_.size() > 1) {
    const double usual = usual_gap();
    for (std::size_t i = 1; i < times_.size(); ++i) {
      const double gap = times_[i] - times_[i - 1];
      require(gap > 0 && gap > usual / 2 - tick_ && gap < usual * 1.5 + tick_, [&] {
        return fmt::format(
            "{} has a frame rate that varies: frame {} is shown for {:.0f} ms, most for {:.0f} ms; --fps 25 "
            "takes frames at even times",
            path_.string(), i - 1, 1e3 * gap, 1e3 * usual);
      });
    }
    rate = measured_rate(*rate);
  }
  Video video{{static_cast<int>(frames_.size()), height_, width_},
              Buffer<float>(static_cast<index_t>(frames_.size()) * height_ * width_ * 3),
              rate};
  float* place = video.pixels.begin();
  for (Buffer<float>& frame : frames_) {
    place = std::ranges::copy(frame, place).out;
    frame = {};
  }
  return video;
}

}  // namespace stepvideo::io
