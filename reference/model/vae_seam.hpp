// Joining decoded chunks: the two frames at a seam are drawn towards one another.
#pragma once
#include <algorithm>
#include <functional>

#include <stepvideo/core/buffer.hpp>

namespace stepvideo::model {

/// Takes chunks in order and passes their frames on, the last one of a chunk held back until the next chunk's
/// first is known: with a that last and b that first frame, b = 0.6 b + 0.4 a, then a = 0.6 a + 0.4 b.
class VaeSeam {
 public:
  /// `chunk` (frames, height, width, channels); its first frame is blended in place.
  void join(VideoView<float> chunk, bool is_last,
            const std::function<void(VideoView<const float>)>& on_frames) {
    const index_t frame = chunk.height * chunk.width * chunk.channels;
    if (held_.size() > 0) {
      for (index_t i = 0; i < frame; ++i) {
        chunk.data[i] = 0.6f * chunk.data[i] + 0.4f * held_[i];
        held_[i] = 0.6f * held_[i] + 0.4f * chunk.data[i];
      }
      on_frames({held_.data(), 1, chunk.height, chunk.width, chunk.channels});
    }
    if (is_last) return on_frames(chunk);
    if (held_.size() == 0) held_ = Buffer<float>(frame);
    std::copy_n(chunk.pixel(chunk.frames - 1, 0, 0), frame, held_.data());
    on_frames(chunk.frames_from(0, chunk.frames - 1));
  }

 private:
  Buffer<float> held_;
};

}  // namespace stepvideo::model
