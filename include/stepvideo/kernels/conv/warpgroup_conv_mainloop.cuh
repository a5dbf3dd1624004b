// The warpgroups of warpgroup_conv that compute: products over all taps and channels, then the results.
#pragma once
#include <stepvideo/core/round_into.hpp>
#include <stepvideo/kernels/conv/conv_moments.cuh>
#include <stepvideo/kernels/conv/warpgroup_conv_pipeline.cuh>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>
#include <stepvideo/kernels/tile/epilogue_pack.cuh>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// A warpgroup's part of a tile: sums of two pieces of 8 x 8 pixels.
template <class Policy>
class ConvConsumer {
 public:
  using T = typename Policy::Element;
  using Params = WarpgroupConvParams<T>;
  using Shared = WarpgroupConvShared<Policy>;
  using Sums = Accumulator<Policy::columns>[Policy::consumer_pieces];

  __device__ ConvConsumer(const Params& params, Shared& shared, int consumer)
      : params_(params), shared_(shared), first_piece_(consumer * Policy::consumer_pieces) {}

  /// sums = bias + the convolution's products.
  __device__ void accumulate(const ConvTile& tile, Sums& sums) {
    start(tile, sums);
    int boxes = 0;
    params_.for_each_frame(tile, [&](int, int) { boxes += params_.boxes.per_frame * params_.depth_blocks; });
    for (int box = 0; box < boxes; ++box) {
      shared_.pixels_full[pixel_ring_.stage].wait(pixel_ring_.parity);
      for (int tap = 0; tap < params_.boxes.taps; ++tap) {
        shared_.weights_full[weight_ring_.stage].wait(weight_ring_.parity);
        multiply(tap, sums);
        wgmma_wait<1>();  // the products of the tap before are done
        if (box + tap > 0) release(tap == 0);
        weight_ring_.advance();
      }
      pixel_ring_.advance();
    }
    wgmma_wait<0>();
    release(true);
#pragma unroll
    for (auto& of_piece : sums) keep_in_place(of_piece);
  }

  /// Calls visit(piece, x, y) with the first pixel of each of the warpgroup's pieces.
  template <class Visit>
  __device__ void for_each_piece(const ConvTile& tile, Visit&& visit) const {
#pragma unroll
    for (int piece = 0; piece < Policy::consumer_pieces; ++piece)
      visit(piece, tile.x + piece_x(piece), tile.y + piece_y(piece));
  }

 private:
  __device__ int piece_x(int piece) const {
    return (first_piece_ + piece) * Policy::piece % params_.tiling.width;
  }
  __device__ int piece_y(int piece) const {
    return (first_piece_ + piece) * Policy::piece / params_.tiling.width * Policy::piece;
  }

  __device__ void start(const ConvTile& tile, Sums& sums) const {
    const int first = tile.channel + AccumulatorRows::first_column(threadIdx.x % Policy::warpgroup);
#pragma unroll
    for (int i = 0; i < Accumulator<Policy::columns>::size; ++i) {
      const int channel = first + AccumulatorRows::column_of(i);
      const float value = channel < params_.bias.size ? float(params_.bias[channel]) : 0.0f;
#pragma unroll
      for (auto& of_piece : sums) of_piece.at[i] = value;
    }
  }

  /// Starts the products of one tap with the pixels and weights at the rings' places.
  __device__ void multiply(int tap, Sums& sums) const {
    const ConvBoxes& boxes = params_.boxes;
    const SharedOperand weights = SharedOperand::along_depth(shared_.weights[weight_ring_.stage]);
    const int first_row = boxes.first_row(tap);
    wgmma_fence();
#pragma unroll
    for (int piece = 0; piece < Policy::consumer_pieces; ++piece) {
      const int row = first_row + piece_y(piece) * boxes.width + piece_x(piece);
      const SharedOperand pixels = SharedOperand::along_depth(
          shared_.pixels[pixel_ring_.stage] + row * Policy::depth, boxes.width * 128);
#pragma unroll
      for (int product = 0; product < Policy::products; ++product)
        wgmma<T>(sums[piece], pixels.advanced(32 * product), weights.advanced(32 * product), true);
    }
    wgmma_commit();
  }

  /// Lets the fetching thread have the weights of the tap before and, where that was a box's last, its
  /// pixels.
  __device__ void release(bool with_pixels) {
    const auto before = [](int stage, int stages) { return (stage == 0 ? stages : stage) - 1; };
    if (threadIdx.x % Policy::warpgroup != 0) return;
    shared_.weights_free[before(weight_ring_.stage, Policy::weight_stages)].arrive();
    if (with_pixels) shared_.pixels_free[before(pixel_ring_.stage, Policy::pixel_stages)].arrive();
  }

  const Params& params_;
  Shared& shared_;
  const int first_piece_;
  RingPosition<Policy::pixel_stages> pixel_ring_;
  RingPosition<Policy::weight_stages> weight_ring_;
};

/// Where sums become results.
template <class Finish, class OutType>
struct ConvResults {
  using Out = OutType;
  static constexpr int vector = widest_access_bytes / sizeof(Out);
  VideoView<Out> out;
  Finish epilogue;
  bool moves_packs;  ///< out's rows, and what the epilogue reads, are whole packs of `vector`
  PartMomentsView moments;

  static bool packs_are_whole(VideoView<Out> out, const Finish& epilogue) {
    return packs_fit<vector>(out.data, out.channels) && epilogue_packs_fit<vector>(epilogue);
  }

  /// The eight rows of `sums` that are register row `r` of this warp: a line of pixels from (x, y) of the
  /// tile's place on. They pass through `line`, so that neighbouring lanes finish and store neighbouring
  /// channels.
  template <class Policy>
  __device__ void store_line(const ConvGeometry& at, const ConvTile& tile, int x, int y,
                             const Accumulator<Policy::columns>& sums, int r, float* line,
                             LaneMoments<vector>& gathered) const {
    using Lanes = LineLanes<Policy, vector>;
    constexpr int pitch = WarpgroupConvShared<Policy>::line_columns, columns = Policy::columns;
    const int lane = threadIdx.x % 32, first_pixel = Lanes::first_pixel(), column = Lanes::column();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < columns / 8; ++i)
      *reinterpret_cast<float2*>(line + lane / 4 * pitch + 8 * i + lane % 4 * 2) = {
          sums.at[4 * i + 2 * r], sums.at[4 * i + 2 * r + 1]};
    __syncwarp();
    const index_t place_y = at.height.place(y), channel = tile.channel + column;
    if (place_y >= out.height || first_pixel >= Policy::piece || channel >= out.channels) return;
    const index_t first_row =
        (at.frames.place(tile.frame) * out.height + place_y) * out.width + at.width.first;
    const int pixels = static_cast<int>(out.width - at.width.first + at.width.step - 1) / at.width.step - x;
    const auto each = [&](auto&& visit) {
#pragma unroll
      for (int step = 0; step < Lanes::steps; ++step) {
        const int pixel = first_pixel + step * Lanes::pixels_at_once;
        if (pixel < pixels) visit(step, pixel, first_row + (x + pixel) * at.width.step);
      }
    };
    // All of them before the first is stored: the epilogue may read what lies in `out`.
    float results[Lanes::steps][vector];
    if (moves_packs) {
      each([&](int step, int pixel, index_t row) {
        widen_pack(load_pack<vector>(line + pixel * pitch + column), results[step]);
        finish_pack(epilogue, row, channel, results[step]);
      });
      each([&](int step, int, index_t row) {
        store_pack(out.data + row * out.channels + channel, round_pack<Out>(results[step]));
      });
      if (moments.data != nullptr) each([&](int step, int, index_t) { gathered.add(results[step]); });
    } else {
      const int count = static_cast<int>(out.channels - channel);
      each([&](int step, int pixel, index_t row) {
        const auto finish = epilogue.row(row);
#pragma unroll
        for (int i = 0; i < vector; ++i)
          if (i < count) results[step][i] = finish(line[pixel * pitch + column + i], channel + i);
      });
      each([&](int step, int, index_t row) {
#pragma unroll
        for (int i = 0; i < vector; ++i)
          if (i < count) round_into(out.data[row * out.channels + channel + i], results[step][i]);
      });
    }
  }
};

}  // namespace stepvideo
