// The host's convolution: an implicit GEMM on channels-last video. A thread owns a run of pixels of one
// output row; it copies the few input rows under that run, 32 channels at a time, into a patch on its stack,
// zeros included, and runs register tiles over it. No padded or unfolded video exists.
#pragma once
#include <algorithm>
#include <array>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/conv/conv_weight.hpp>
#include <stepvideo/kernels/tile/conv_tile.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET {

/// Work of one thread at a time: `run_pixels` of an output row by `group_channels` output channels.
struct ConvRunPolicy {
  static constexpr int run_pixels = 48;
  static constexpr int group_channels = 256;
  /// A thread takes this many rows of this many frames after one another: their inputs overlap, and stay in
  /// its L2 cache. Fewer frames where there would not be `least_parts` parts to share.
  static constexpr int band_rows = 8, band_frames = 8, least_parts = 32;
  static constexpr int max_taps = 3, max_stride = 2;
  static constexpr int patch_pixels = (run_pixels - 1) * max_stride + max_taps;
};
static_assert(ConvRunPolicy::group_channels % ConvTilePolicy::block_channels == 0);
static_assert(ConvRunPolicy::run_pixels % ConvTilePolicy::pixels == 0, "whole tiles never leave the scratch");

/// Calls `function(std::integral_constant<int, size>{})` with the smallest built tile that covers `pixels` in
/// as few tiles as the largest would.
template <class Function>
void with_tile_size(int pixels, Function&& function) {
  constexpr int largest = ConvTilePolicy::pixels;
  const int tiles = (pixels + largest - 1) / largest, size = (pixels + tiles - 1) / tiles;
  if (size <= 1)
    function(std::integral_constant<int, 1>{});
  else if (size <= largest / 3)
    function(std::integral_constant<int, largest / 3>{});
  else if (size <= largest / 2)
    function(std::integral_constant<int, largest / 2>{});
  else if (size <= largest * 3 / 4)
    function(std::integral_constant<int, largest * 3 / 4>{});
  else
    function(std::integral_constant<int, largest>{});
}

/// One run: where its pixels are, and how many its tiles compute (the last tile may go past the run's end).
struct ConvRun {
  index_t frame, y, x;
  int pixels;

  int tiled_pixels() const {
    int result = 0;
    with_tile_size(pixels, [&](auto tile) { result = (pixels + tile - 1) / tile * tile; });
    return result;
  }
};

/// What a row of the patch holds: one input row's channels from `channel` on.
struct PatchRow {
  index_t frame = -1, y = -1, channel = -1;
  bool operator==(const PatchRow&) const = default;
};

/// A thread's memory for a band of runs below one another. With few enough input channels a run finds most of
/// its rows where the run above left them.
struct ConvScratch {
  PatchRow held[ConvRows<float>::max_rows];
  alignas(
      64) float patch[ConvRows<float>::max_rows][ConvRunPolicy::patch_pixels][ConvTilePolicy::patch_channels];
  /// (pixels, channels of the group's blocks)
  alignas(64) float sums[ConvRunPolicy::run_pixels * ConvRunPolicy::group_channels];
};
static_assert(sizeof(ConvScratch) <= 256 * 1024, "a thread's stack and its share of the L2 cache hold it");

template <class T>
void widen(const T* source, index_t count, float* target) {
  index_t i = 0;
  for (; i + simd_floats <= count; i += simd_floats) store_floats(target + i, load_floats(source + i));
  for (; i < count; ++i) target[i] = float(source[i]);
}

/// Copies the input channels from `first` on of the pixels that `outputs` pixels' taps touch in one input
/// row.
template <class T>
void fill_patch_row(const T* row, index_t width, index_t row_channels, const ConvAxis& axis,
                    index_t first_output, int outputs, index_t first, int channels, float* patch) {
  constexpr int patch_channels = ConvTilePolicy::patch_channels;
  const index_t slots = (outputs - 1) * axis.stride + axis.taps;
  const index_t position = first_output * axis.stride - axis.front;  // [0, width) lies in the row
  const index_t first_inside = std::clamp<index_t>(-position, 0, slots);
  const index_t last_inside = std::clamp<index_t>(width - position, first_inside, slots);
  std::fill_n(patch, first_inside * patch_channels, 0.0f);
  std::fill_n(patch + last_inside * patch_channels, (slots - last_inside) * patch_channels, 0.0f);
  for (index_t slot = first_inside; slot < last_inside; ++slot)
    widen(row + (position + slot) * row_channels + first, channels, patch + slot * patch_channels);
}

/// Runs the tiles of one block of output channels over the patch.
template <int vectors, int stride, class T>
void accumulate_run(ConvRows<T> rows, int taps, int channels, int pixels, float* sums, index_t sums_stride) {
  with_tile_size(pixels, [&]<int tile>(std::integral_constant<int, tile>) {
    for (int first = 0; first < pixels; first += tile, sums += tile * sums_stride) {
      accumulate_conv_tile<tile, vectors, stride>(rows, taps, channels, sums, sums_stride);
      for (int r = 0; r < rows.count; ++r) rows.patch[r] += tile * stride * ConvTilePolicy::patch_channels;
    }
  });
}

/// The weight of one place of the result.
template <class T>
struct PlaceWeight {
  WeightLayout layout;
  const T* data;
};

/// One run of one group of output channels, from the input to the epilogue.
template <int stride, class T, class In, class Out, Epilogue Finish>
void convolve_run(const ConvGeometry& geometry, VideoView<const In> in, const PlaceWeight<T>& weight,
                  VectorView<const T> bias, VideoView<Out> out, const Finish& epilogue, const ConvRun& run,
                  index_t first_block, index_t blocks, ConvScratch& scratch) {
  using Tile = ConvTilePolicy;
  const WeightLayout& layout = weight.layout;
  const index_t first_channel = first_block * Tile::block_channels;
  const index_t group = std::min<index_t>(ConvRunPolicy::group_channels, out.channels - first_channel);

  const int pixels = run.tiled_pixels();
  const index_t sums_stride = blocks * Tile::block_channels;
  for (int p = 0; p < pixels; ++p) {
    float* sums = scratch.sums + p * sums_stride;
    widen(bias.data + first_channel, group, sums);
    std::fill(sums + group, sums + sums_stride, 0.0f);
  }

  struct {
    index_t frame, y;
    int tap, place;
  } inputs[ConvRows<T>::max_rows];
  ConvRows<T> rows;
  for (int t = 0; t < geometry.frames.taps; ++t)
    for (int v = 0; v < geometry.height.taps; ++v) {
      const index_t frame = geometry.frames.source(run.frame, t, in.frames);
      const index_t y = geometry.height.source(run.y, v, in.height);
      // A row of zeros adds nothing.
      if (frame >= 0 && y >= 0)
        inputs[rows.count++] = {frame, y, (t * geometry.height.taps + v) * geometry.width.taps,
                                static_cast<int>(t * ConvRunPolicy::max_taps + y % ConvRunPolicy::max_taps)};
    }

  for (index_t patch = 0; patch < in.channels; patch += Tile::patch_channels) {
    const int channels = static_cast<int>(std::min<index_t>(Tile::patch_channels, in.channels - patch));
    for (int r = 0; r < rows.count; ++r) {
      const auto& input = inputs[r];
      float* row = scratch.patch[input.place][0];
      const PatchRow needed{input.frame, input.y, patch};
      if (scratch.held[input.place] != needed)
        fill_patch_row(in.pixel(input.frame, input.y, 0), in.width, in.channels, geometry.width, run.x,
                       pixels, patch, channels, row);
      scratch.held[input.place] = needed;
      rows.patch[r] = row;
    }
    for (index_t block = first_block; block < first_block + blocks; ++block) {
      for (int r = 0; r < rows.count; ++r)
        rows.weight[r] = weight.data + layout.offset(block, patch, inputs[r].tap);
      float* sums = scratch.sums + (block - first_block) * Tile::block_channels;
      if (layout.vectors(block) == 1)
        accumulate_run<1, stride>(rows, geometry.width.taps, channels, pixels, sums, sums_stride);
      else
        accumulate_run<2, stride>(rows, geometry.width.taps, channels, pixels, sums, sums_stride);
    }
  }

  Out* target =
      out.pixel(geometry.frames.place(run.frame), geometry.height.place(run.y), geometry.width.place(run.x)) +
      first_channel;
  for (int p = 0; p < run.pixels; ++p, target += geometry.width.step * out.channels) {
    const float* sums = scratch.sums + p * sums_stride;
    const auto finish = epilogue.row((target - out.data) / out.channels);
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
    for (index_t c = 0; c < group; ++c) target[c] = Out(finish(sums[c], first_channel + c));
  }
}

/// The whole convolution. Runs and groups are fixed by the shapes alone, so results do not depend on the
/// number of threads.
template <ConvForm form, class T, class In, class Out, Epilogue Finish>
void convolve(const PlaceGeometries& places, VideoView<const In> in,
              const PackedConvWeight<T, Host, form>& weight, VectorView<const T> bias, VideoView<Out> out,
              const Finish& epilogue) {
  using Policy = ConvRunPolicy;
  constexpr index_t group_blocks = Policy::group_channels / ConvTilePolicy::block_channels;
  const WeightLayout layout{ConvPlaces<form>::weight(weight.shape())};
  const auto extent = [](const ConvAxis& axis, index_t places) { return places / axis.step; };
  const index_t frames = extent(places.of[0].frames, out.frames),
                height = extent(places.of[0].height, out.height),
                width = extent(places.of[0].width, out.width);
  const index_t blocks = layout.blocks();
  const index_t groups = (blocks + group_blocks - 1) / group_blocks;
  const index_t runs = (width + Policy::run_pixels - 1) / Policy::run_pixels;
  const index_t bands = (height + Policy::band_rows - 1) / Policy::band_rows;
  const index_t parts = places.count * groups * runs * bands * frames / Policy::least_parts;
  const index_t frames_at_once = std::clamp<index_t>(parts, 1, Policy::band_frames);
#pragma omp parallel for collapse(5) schedule(dynamic, frames_at_once)
  for (int place = 0; place < places.count; ++place)
    for (index_t group = 0; group < groups; ++group)
      for (index_t r = 0; r < runs; ++r)
        for (index_t band = 0; band < bands; ++band)
          for (index_t frame = 0; frame < frames; ++frame) {
            const ConvGeometry& geometry = places.of[place];
            const PlaceWeight<T> place_weight{layout, weight.data() + place * layout.elements()};
            const index_t x = r * Policy::run_pixels, first_block = group * group_blocks;
            const index_t group_size = std::min(group_blocks, blocks - first_block);
            const index_t last_row = std::min(height, (band + 1) * Policy::band_rows);
            ConvRun run{frame, band * Policy::band_rows, x,
                        static_cast<int>(std::min<index_t>(Policy::run_pixels, width - x))};
            ConvScratch scratch;
            for (; run.y < last_row; ++run.y) {
              if (geometry.width.stride == 1)
                convolve_run<1>(geometry, in, place_weight, bias, out, epilogue, run, first_block, group_size,
                                scratch);
              else
                convolve_run<2>(geometry, in, place_weight, bias, out, epilogue, run, first_block, group_size,
                                scratch);
            }
          }
}

}  // namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET
