// How a convolution's result is cut into tiles of pixels and blocks of output channels, and in which order a
// GPU works through them.
#pragma once
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>

namespace stepvideo {

/// One tile of one place of the result: the first pixel it computes, counted within the place, and the first
/// output channel.
struct ConvTile {
  int place, frame, y, x, channel;
};

/// In pixels.
struct TileShape {
  int width, height;
};

/// Tiles of `width` by `height` pixels of a frame. Neighbouring tiles differ in their block of channels, then
/// in x, y, place and frame: what runs at the same time reads the same pixels and the same weights.
struct ConvTiling {
  int width = 0, height = 0, channels = 0;  ///< of a tile
  int columns = 0, rows = 0, blocks = 0;    ///< tiles along x and y, blocks of output channels
  int places = 1;
  int frames = 0;  ///< of a place

  /// Of a result, in tiles of one of `shapes`: the first of those that compute the fewest pixels in all.
  template <class Out, int count>
  static constexpr ConvTiling of(const PlaceGeometries& at, const VideoView<Out>& out,
                                 const TileShape (&shapes)[count], int channels) {
    const auto extent = [](index_t places, const ConvAxis& axis) {
      return static_cast<int>(places / axis.step);
    };
    const auto tiles = [](int pixels, int size) { return (pixels + size - 1) / size; };
    const ConvGeometry& first = at.of[0];
    const int width = extent(out.width, first.width), height = extent(out.height, first.height);
    ConvTiling best;
    for (const auto& [w, h] : shapes) {
      const ConvTiling tiling{.width = w,
                              .height = h,
                              .channels = channels,
                              .columns = tiles(width, w),
                              .rows = tiles(height, h),
                              .blocks = tiles(static_cast<int>(out.channels), channels),
                              .places = at.count,
                              .frames = extent(out.frames, first.frames)};
      if (best.width == 0 ||
          tiling.columns * tiling.rows * w * h < best.columns * best.rows * best.width * best.height)
        best = tiling;
    }
    return best;
  }

  constexpr int count() const { return columns * rows * blocks * places * frames; }
  /// Tiles of a frame of the result, of its places along rows and columns too; the one that `tile` is.
  constexpr int frame_parts() const { return columns * rows * space_places(); }
  constexpr int part(const ConvTile& tile) const {
    return (tile.place % space_places() * rows + tile.y / height) * columns + tile.x / width;
  }
  constexpr ConvTile tile(int i) const {
    const auto digit = [&i](int base) {
      const int of = i % base;
      i /= base;
      return of;
    };
    ConvTile tile{};
    tile.channel = digit(blocks) * channels;
    tile.x = digit(columns) * width;
    tile.y = digit(rows) * height;
    tile.place = digit(places);
    tile.frame = i;
    return tile;
  }

 private:
  constexpr int space_places() const { return places > 1 ? 4 : 1; }
};

}  // namespace stepvideo
