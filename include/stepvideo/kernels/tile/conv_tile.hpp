// The register tile of a convolution on the host: a run of output pixels by a few vectors of output channels.
#pragma once
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>
#include <stepvideo/kernels/tile/simd.hpp>

// nvcc's front end does not know the host compiler's unroll pragmas and passes them on.
#ifdef __CUDACC__
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Sizes of the host convolution's tiles, for the CPU this is compiled for.
struct ConvTilePolicy {
  /// Accumulators of the largest tile: two vectors of channels by `pixels`. One register in four stays free
  /// for weights and the broadcast input.
  static constexpr int vectors = 2;
  static constexpr int pixels = simd_registers == 32 ? 12 : 6;
  /// Output channels of a weight block.
  static constexpr int block_channels = vectors * simd_floats;
  /// Input channels of a patch: with three by three rows of 14 pixels the patch under a tile is 16 KB of L1.
  static constexpr int patch_channels = 32;
};

/// Rows of the input patch that a tile reads, with the weights that belong to each row's taps.
template <class T>
struct ConvRows {
  static constexpr int max_rows = 9;
  const float* patch[max_rows];  ///< (pixels of the row, patch_channels)
  const T* weight[max_rows];     ///< (taps along the row, channels, block channels)
  int count = 0;
};

/// sums[pixel][channel] += over the rows, `taps` along each row and `channels`. `sums` has a row of
/// `sums_stride` floats per pixel; the block has `vectors` vectors of output channels.
template <int pixels, int vectors, int stride, class T>
void accumulate_conv_tile(const ConvRows<T>& rows, int taps, int channels, float* sums, index_t sums_stride) {
  constexpr int patch_channels = ConvTilePolicy::patch_channels;
  FloatVector tile[pixels][vectors];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) tile[p][v] = load_floats(sums + p * sums_stride + v * simd_floats);
  for (int row = 0; row < rows.count; ++row) {
    const float* source = rows.patch[row];
    const T* weight = rows.weight[row];
    for (int tap = 0; tap < taps; ++tap, source += patch_channels) {
      for (int channel = 0; channel < channels; ++channel, weight += vectors * simd_floats) {
        FloatVector weights[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) weights[v] = load_floats(weight + v * simd_floats);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p) {
          const float value = source[p * stride * patch_channels + channel];
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) tile[p][v] += value * weights[v];
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store_floats(sums + p * sums_stride + v * simd_floats, tile[p][v]);
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

#ifdef __CUDACC__
#pragma nv_diagnostic pop
#endif
