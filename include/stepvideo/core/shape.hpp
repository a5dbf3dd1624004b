// The model's shapes and the rules they obey. A rule is written once, as a constexpr predicate with its
// sentence; the concept of the same name makes it a compile-time requirement, require_...() a run-time one.
#pragma once
#include <algorithm>
#include <string>

#include <stepvideo/core/error.hpp>

namespace stepvideo {

/// Attention heads of one model: `count` heads of `dim` channels.
struct HeadShape {
  int count = 1;
  int dim = 128;

  constexpr int width() const { return count * dim; }
  constexpr bool operator==(const HeadShape&) const = default;
};

/// How 3D rotary embedding splits a head's channels: frame, row and column axes, in this order.
struct RopeSplit {
  int frame = 64, row = 32, column = 32;

  constexpr int dim() const { return frame + row + column; }
  constexpr bool operator==(const RopeSplit&) const = default;
  /// The split a model of this head dimension uses: a half for the frame, a quarter each for row and column.
  static constexpr RopeSplit of_head(int dim) { return {dim / 2, dim / 4, dim / 4}; }
};

/// The split as a type: Rope3d<64, 32, 32>.
template <int frame, int row, int column>
struct Rope3d {
  static constexpr RopeSplit split{frame, row, column};
};

constexpr bool rope_split_covers_head(RopeSplit split, HeadShape heads) {
  return split.dim() == heads.dim && split.frame > 0 && split.row > 0 && split.column > 0 &&
         split.frame % 2 == 0 && split.row % 2 == 0 && split.column % 2 == 0;
}
/// The three parts are even and add up to the head dimension.
template <class Rope, HeadShape heads>
concept RopeSplitCoversHead = rope_split_covers_head(Rope::split, heads);

/// Heads with their rotary embedding, known at compile time; a split that does not cover the head does not
/// compile.
template <HeadShape heads, class Rope>
requires RopeSplitCoversHead<Rope, heads>
struct RotaryHeads {
  static constexpr HeadShape shape = heads;
  static constexpr RopeSplit split = Rope::split;
};

inline void require_rope_split_covers_head(RopeSplit split, HeadShape heads) {
  require(rope_split_covers_head(split, heads), [&] {
    return "the rope split " + std::to_string(split.frame) + "/" + std::to_string(split.row) + "/" +
           std::to_string(split.column) + " does not cover a head of " + std::to_string(heads.dim) +
           " channels with even parts; a head dimension that 8 divides works";
  });
}

/// A latent video: what the transformer sees. One token per latent pixel.
struct LatentShape {
  int frames = 0, height = 0, width = 0;

  constexpr long long tokens() const { return 1LL * frames * height * width; }
  constexpr bool operator==(const LatentShape&) const = default;
};

/// A video in pixels. The VAE works on chunks of 17 frames that become 3 latent frames each, or on a single
/// image, and shrinks height and width by 16.
struct VideoShape {
  int frames = 17, height = 544, width = 992;

  static constexpr int chunk_frames = 17, chunk_latent_frames = 3, pixels_per_latent = 16;

  constexpr bool is_image() const { return frames == 1; }
  constexpr int chunks() const { return is_image() ? 1 : frames / chunk_frames; }
  constexpr LatentShape latent() const {
    return {is_image() ? 1 : chunks() * chunk_latent_frames, height / pixels_per_latent,
            width / pixels_per_latent};
  }
  constexpr long long tokens() const { return latent().tokens(); }
  constexpr bool operator==(const VideoShape&) const = default;

  /// The video a latent decodes to. Latent frames must be 1 or a multiple of 3.
  static constexpr VideoShape from_latent(LatentShape latent) {
    return {latent.frames == 1 ? 1 : latent.frames / chunk_latent_frames * chunk_frames,
            latent.height * pixels_per_latent, latent.width * pixels_per_latent};
  }

  /// No extent goes beyond this: far more than any model sees, and products of three stay within 64 bits.
  static constexpr int largest_extent = 1 << 20;

  /// The valid size nearest to this one in every extent; halves go up, nothing leaves the valid range.
  constexpr VideoShape nearest() const {
    // 1 frame is an image; from 9 frames on a whole chunk is nearer.
    const int fitted_frames = frames < 9 ? 1 : nearest_multiple(frames, chunk_frames);
    return {fitted_frames, nearest_multiple(height, pixels_per_latent),
            nearest_multiple(width, pixels_per_latent)};
  }

  static constexpr int nearest_multiple(int value, int step) {
    const int within = std::clamp(value, step, largest_extent / step * step);
    return std::min((within + step / 2) / step, largest_extent / step) * step;
  }
};

constexpr bool frames_fill_whole_chunks(VideoShape video) {
  return video.frames == 1 || (video.frames > 0 && video.frames <= VideoShape::largest_extent &&
                               video.frames % VideoShape::chunk_frames == 0);
}
constexpr bool size_is_on_the_latent_grid(VideoShape video) {
  return video.height > 0 && video.width > 0 && video.height <= VideoShape::largest_extent &&
         video.width <= VideoShape::largest_extent && video.height % VideoShape::pixels_per_latent == 0 &&
         video.width % VideoShape::pixels_per_latent == 0;
}
/// Frames are 1 or a multiple of 17, at most 2^20.
template <VideoShape video>
concept FramesFillWholeChunks = frames_fill_whole_chunks(video);
/// Height and width are multiples of 16, at most 2^20.
template <VideoShape video>
concept SizeIsOnTheLatentGrid = size_is_on_the_latent_grid(video);

/// A video size known at compile time; a size off the grid does not compile.
template <VideoShape video>
requires FramesFillWholeChunks<video> && SizeIsOnTheLatentGrid<video>
struct StaticVideo {
  static constexpr VideoShape shape = video;
  static constexpr LatentShape latent = video.latent();
};

/// "204 frames of 992x544": width x height, as people say it.
inline std::string to_string(VideoShape video) {
  return std::to_string(video.frames) + (video.frames == 1 ? " frame of " : " frames of ") +
         std::to_string(video.width) + "x" + std::to_string(video.height);
}

/// Throws RequestError naming the rule and the nearest valid size.
inline void require_video_on_grid(VideoShape video) {
  require(frames_fill_whole_chunks(video) && size_is_on_the_latent_grid(video), [&] {
    return to_string(video) +
           " is off the grid (frames: 1 or a multiple of 17; width and height: multiples of 16); the nearest "
           "valid size is " +
           to_string(video.nearest());
  });
}

}  // namespace stepvideo
