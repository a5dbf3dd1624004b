// The seams of a video whose chunks were decoded in several places.
#pragma once
#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/elementwise/pixels.hpp>

#include "model/decoded_chunk.hpp"

namespace stepvideo::model {

/// Joins the seams that were left where the chunks of a video were dealt to several.
class SeamsOnHost {
 public:
  explicit SeamsOnHost(const io::PixelFormat& format) : format_(format) {}

  /// The next chunk: `on_frames` gets the two frames of the seam before it, if any, and its own.
  void pass(const DecodedChunk& chunk, const OnFrames& on_frames) {
    if (chunk.front.frames > 0) {
      const VideoView<float> first = io::floats_of(chunk.front);
      const VideoView<float> last{waiting_.data(), 1, first.height, first.width, first.channels};
      join_seam(host, waiting_.vector(), {first.data, first.size()});
      const io::PixelBuffer both(format_, 2, first.height, first.width);
      io::write_pixels(host, last, format_, both.view().frames_from(0, 1));
      io::write_pixels(host, first, format_, both.view().frames_from(1, 1));
      on_frames(both.view());
    }
    on_frames(chunk.frames);
    if (chunk.back.frames == 0) return;
    const VideoView<const float> last = io::floats_of(chunk.back);
    if (waiting_.size() == 0) waiting_ = Buffer<float>(last.size());
    copy(host, VectorView<const float>{last.data, last.size()}, waiting_.vector());
  }

 private:
  io::PixelFormat format_;
  Buffer<float> waiting_;  ///< the last frame of a chunk, until the next one's first is known
};

}  // namespace stepvideo::model
