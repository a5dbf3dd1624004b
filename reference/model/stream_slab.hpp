// Memory for a network whose layers follow one another.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>

#include "model/norm_scratch.hpp"

namespace stepvideo::model::vae {

/// The frames [first, first + count) of a video that may have no memory.
template <class T>
VideoView<T> frames_of(VideoView<T> video, index_t first, index_t count) {
  if (video.data != nullptr) return video.frames_from(first, count);
  video.frames = count;
  return video;
}

/// `video`'s memory and extents as another element, with other channels.
template <class To, class From>
VideoView<To> recast(VideoView<From> video, index_t channels) {
  return {reinterpret_cast<To*>(video.data), video.frames, video.height, video.width, channels};
}

/// A slab of memory with two ends, and the stream of a network that goes through it. The stream's video lies
/// at one end. A layer takes what it needs beside it or at the opposite end; a result that takes over from
/// its input is the first thing taken there, and the ends change roles. Without memory it counts: its videos
/// have extents and no data, and peak_bytes() is the slab it takes.
class StreamSlab {
 public:
  StreamSlab() = default;
  StreamSlab(std::byte* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}

  /// The stream's video, whose elements are T.
  template <Element T>
  VideoView<T> stream() const {
    return recast<T>(stream_, stream_.channels);
  }
  index_t channels() const { return stream_.channels; }
  std::size_t peak_bytes() const { return peak_ + kept_; }

  /// A GPU's kernels ask for scratch, which lies beside the slab.
  void ask_scratch(const NormScratch& scratch) { scratch_ = scratch_.or_more(scratch); }
  const NormScratch& scratch() const { return scratch_; }

  /// A video that stays whatever else comes and goes: from the memory's end, before anything else is taken.
  template <Element T>
  VideoView<T> keep(index_t frames, index_t height, index_t width, index_t channels) {
    VideoView<T> video{nullptr, frames, height, width, channels};
    const std::size_t bytes = workspace_bytes<T>(video.size());
    kept_ += bytes;
    if (memory_ == nullptr) return video;
    require_bytes(bytes);
    bytes_ -= bytes;
    video.data = reinterpret_cast<T*>(memory_ + bytes_);
    return video;
  }
  /// A video of these extents on the stream's side.
  template <Element T>
  VideoView<T> beside(index_t frames, index_t height, index_t width, index_t channels) {
    return take<T>(side_, {nullptr, frames, height, width, channels});
  }
  template <Element T>
  VideoView<T> opposite(index_t frames, index_t height, index_t width, index_t channels) {
    return take<T>(1 - side_, {nullptr, frames, height, width, channels});
  }
  /// The same with the stream's frames, height and width.
  template <Element T>
  VideoView<T> beside(index_t channels) {
    return beside<T>(stream_.frames, stream_.height, stream_.width, channels);
  }
  template <Element T>
  VideoView<T> opposite(index_t channels) {
    return opposite<T>(stream_.frames, stream_.height, stream_.width, channels);
  }
  /// The same with room for `front` frames right before its first, which the view leaves out.
  template <Element T>
  VideoView<T> beside_behind(index_t front, index_t channels) {
    return frames_of(beside<T>(front + stream_.frames, stream_.height, stream_.width, channels), front,
                     stream_.frames);
  }
  /// Bytes at the opposite end for another slab, or null where this one counts.
  std::byte* opposite_bytes(std::size_t bytes) { return take_bytes(1 - side_, bytes); }

  /// Gives back everything but the stream's video.
  void keep_stream() {
    used_[side_] = stream_bytes_;
    used_[1 - side_] = 0;
  }
  /// `video`, the first taken at the opposite end, becomes the stream; everything else is given back.
  template <Element T>
  void advance(VideoView<T> video) {
    side_ = 1 - side_;
    stream_ = {reinterpret_cast<std::byte*>(video.data), video.frames, video.height, video.width,
               video.channels};
    stream_bytes_ = workspace_bytes<T>(video.size());
    keep_stream();
  }

 private:
  std::byte* take_bytes(int side, std::size_t bytes) {
    const std::size_t first = used_[side];
    used_[side] += bytes;
    peak_ = std::max(peak_, used_[0] + used_[1]);
    if (memory_ == nullptr) return nullptr;
    require_bytes(peak_);
    return side == 0 ? memory_ + first : memory_ + bytes_ - used_[side];
  }
  /// Beside what is kept.
  void require_bytes(std::size_t bytes) const {
    require(bytes <= bytes_, [&] {
      return "the VAE's slab has " + std::to_string(bytes_) + " bytes and " + std::to_string(bytes) +
             " are taken from it; count it for the same chunk and element";
    });
  }
  template <Element T>
  VideoView<T> take(int side, VideoView<T> video) {
    video.data = reinterpret_cast<T*>(take_bytes(side, workspace_bytes<T>(video.size())));
    return video;
  }

  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0, peak_ = 0, kept_ = 0;
  NormScratch scratch_;
  VideoView<std::byte> stream_{};
  std::size_t stream_bytes_ = 0;
  std::array<std::size_t, 2> used_{};
  int side_ = 0;
};

/// Where convolutions keep their last input frames from one run of frames to the next: videos one after
/// another that are alive throughout. Without memory it counts.
class Pasts {
 public:
  /// The frames that a causal convolution of three looks back.
  static constexpr index_t most = 2;

  /// None, where all frames go together.
  Pasts() = default;
  /// Some where there are `runs`.
  explicit Pasts(bool runs, std::byte* memory = nullptr) : frames_(runs ? most : 0), memory_(memory) {}

  index_t frames() const { return frames_; }
  std::size_t bytes() const { return used_; }

  template <Element T>
  VideoView<T> take(index_t height, index_t width, index_t channels) {
    VideoView<T> video{nullptr, frames_, height, width, channels};
    if (memory_ != nullptr) video.data = reinterpret_cast<T*>(memory_ + used_);
    used_ += workspace_bytes<T>(video.size());
    return video;
  }

 private:
  index_t frames_ = 0;
  std::byte* memory_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace stepvideo::model::vae
