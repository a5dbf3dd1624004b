// What the warpgroups of warpgroup_conv share: its tuning, tiles in shared memory, the barriers that pass
// them on, and the thread that fetches.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/kernels/conv/conv_tiling.hpp>
#include <stepvideo/kernels/tile/part_moments.hpp>
#include <stepvideo/kernels/tile/tma.cuh>
#include <stepvideo/kernels/tile/wgmma.cuh>

namespace stepvideo {

/// Tuning. A tile is four pieces of 8 x 8 pixels by `columns` output channels; each of two computing
/// warpgroups has two of the pieces. The pixels under all taps of one input frame come to shared memory once,
/// with the border that the taps reach, in 128 bytes of channels at a time; a tap is where in them a product
/// begins to read.
template <Element T, int output_columns, int stage_products>
struct WarpgroupConvPolicy {
  using Element = T;
  static constexpr int columns = output_columns;
  static constexpr int depth = 128 / sizeof(T);  ///< input channels of a stage: one row of the swizzle
  /// Of 32 bytes each; fewer than four where the channels end before.
  static constexpr int products = stage_products;
  static constexpr int piece = 8, pieces = 4, consumers = 2, consumer_pieces = pieces / consumers;
  static constexpr TileShape tile_shapes[] = {{16, 16}, {32, 8}, {8, 32}};
  /// With a border of one pixel, of the longest tile.
  static constexpr int most_pixels = (32 + 2) * (8 + 2);
  /// Of a stage's memory, in whole atoms of the swizzle.
  static constexpr int stage_pixels = (most_pixels + 7) / 8 * 8;
  static constexpr int pixel_stages = 2, weight_stages = 6;

  static constexpr int warpgroup = 128, threads = warpgroup * (consumers + 1);
  // A thread of each of the three warpgroups may have 504 registers in all.
  static constexpr int producer_registers = 40, consumer_registers = 232;
};

/// How taps lie in what one copy brings. At stride 1 it brings the pixels under all taps of an input frame;
/// at stride 2 those of one tap, every second pixel of every second row.
struct ConvBoxes {
  int width = 0, height = 0;    ///< pixels that one copy brings
  int per_frame = 1, taps = 1;  ///< copies for an input frame, and taps that each serves
  int kernel_width = 1;

  static constexpr ConvBoxes of(const ConvGeometry& at, const ConvTiling& tiling) {
    const int taps = at.height.taps * at.width.taps;
    if (at.width.stride > 1) return {tiling.width, tiling.height, taps, 1, at.width.taps};
    return {tiling.width + at.width.taps - 1, tiling.height + at.height.taps - 1, 1, taps, at.width.taps};
  }
  /// The rows of the box before the one where a tap's pixels start.
  constexpr int first_row(int tap) const { return tap / kernel_width * width + tap % kernel_width; }
};

template <class T>
struct WarpgroupConvParams {
  CUtensorMap pixels, weights;  // (channel, x, y, frame); (in channel, out channel, tap of a place)
  PlaceGeometries places;
  ConvTiling tiling;
  ConvBoxes boxes;
  int in_frames, depth_blocks, place_taps;
  VectorView<const T> bias;

  /// Calls visit(tap, frame) for the taps in time whose input frame is none of the zeros.
  template <class Visit>
  __device__ void for_each_frame(const ConvTile& tile, Visit&& visit) const {
    const ConvAxis& frames = places.of[tile.place].frames;
    for (int tap = 0; tap < frames.taps; ++tap) {
      const auto frame = static_cast<int>(frames.source(tile.frame, tap, in_frames));
      if (frame >= 0) visit(tap, frame);
    }
  }
};

/// A block's shared memory. Rows are a pixel's, or an output channel's, 128 bytes of input channels in the
/// 128-byte swizzle. Results leave eight pixels of a line at a time, through memory of each warp's own.
template <class Policy>
struct WarpgroupConvShared {
  using T = typename Policy::Element;
  static constexpr int warps = Policy::consumers * Policy::warpgroup / 32;
  /// The rows' padding keeps lanes that write pairs of eight rows at once on different banks.
  static constexpr int line_columns = Policy::columns + 8;

  alignas(1024) T pixels[Policy::pixel_stages][Policy::stage_pixels * Policy::depth];
  alignas(1024) T weights[Policy::weight_stages][Policy::columns * Policy::depth];
  alignas(16) float lines[warps][Policy::piece * line_columns];
  PartMoments channel_moments[Policy::consumers][Policy::columns];
  SharedBarrier pixels_full[Policy::pixel_stages], pixels_free[Policy::pixel_stages];
  SharedBarrier weights_full[Policy::weight_stages], weights_free[Policy::weight_stages];

  /// One thread calls it; a barrier of the block follows.
  __device__ void initialize_barriers() {
    for (int stage = 0; stage < Policy::pixel_stages; ++stage)
      pixels_full[stage].initialize(1), pixels_free[stage].initialize(Policy::consumers);
    for (int stage = 0; stage < Policy::weight_stages; ++stage)
      weights_full[stage].initialize(1), weights_free[stage].initialize(Policy::consumers);
    publish_barriers();
  }
};

/// One thread that fetches what the block's tiles need: boxes of pixels, and the weights of every tap.
template <class Policy>
class ConvProducer {
 public:
  using Params = WarpgroupConvParams<typename Policy::Element>;
  using Shared = WarpgroupConvShared<Policy>;

  __device__ ConvProducer(const Params& params, Shared& shared) : params_(params), shared_(shared) {}

  __device__ void fetch(const ConvTile& tile) {
    const ConvGeometry& at = params_.places.of[tile.place];
    const ConvBoxes& boxes = params_.boxes;
    const int x = tile.x * at.width.stride - at.width.front, y = tile.y * at.height.stride - at.height.front;
    params_.for_each_frame(tile, [&](int frame_tap, int frame) {
      const int first_tap = tile.place * params_.place_taps + frame_tap * boxes.per_frame * boxes.taps;
      for (int block = 0; block < params_.depth_blocks; ++block)
        for (int box = 0; box < boxes.per_frame; ++box) {
          const int channel = block * Policy::depth;
          fetch_pixels({channel, x + box % boxes.kernel_width, y + box / boxes.kernel_width, frame});
          for (int tap = 0; tap < boxes.taps; ++tap)
            fetch_weights({channel, tile.channel, first_tap + box + tap});
        }
    });
  }

 private:
  __device__ void fetch_pixels(const std::int32_t (&from)[4]) {
    const int stage = pixel_ring_.stage;
    shared_.pixels_free[stage].wait(pixel_ring_.parity ^ 1);
    shared_.pixels_full[stage].arrive_expecting(params_.boxes.width * params_.boxes.height * 128);
    load_box(params_.pixels, from, shared_.pixels[stage], shared_.pixels_full[stage]);
    pixel_ring_.advance();
  }
  __device__ void fetch_weights(const std::int32_t (&from)[3]) {
    const int stage = weight_ring_.stage;
    shared_.weights_free[stage].wait(weight_ring_.parity ^ 1);
    shared_.weights_full[stage].arrive_expecting(sizeof(shared_.weights[0]));
    load_box(params_.weights, from, shared_.weights[stage], shared_.weights_full[stage]);
    weight_ring_.advance();
  }

  const Params& params_;
  Shared& shared_;
  RingPosition<Policy::pixel_stages> pixel_ring_;
  RingPosition<Policy::weight_stages> weight_ring_;
};

/// The tiles of a block that stays on its multiprocessor: every so-many-th, one after another.
template <class Work>
__device__ void for_each_resident_tile(const ConvTiling& tiling, Work&& work) {
  for (int i = blockIdx.x; i < tiling.count(); i += gridDim.x) work(tiling.tile(i));
}

}  // namespace stepvideo
