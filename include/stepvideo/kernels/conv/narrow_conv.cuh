// Convolution to a few channels, a video's three: with so few columns a product would wait for its rows, so
// that the taps of an input frame become columns, too. Each pixel of a box meets all of them in one product,
// and a result is the sum of what its neighbours have for it.
#pragma once
#include <stepvideo/kernels/conv/warpgroup_conv.cuh>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>

namespace stepvideo {

/// As WarpgroupConvPolicy, which has the names; a column is a tap and an output channel. The rows of a box
/// are whole pieces of 64, and the last one's that lie behind it belong to nothing.
template <Element T>
struct NarrowConvPolicy : WarpgroupConvPolicy<T, 32, 4> {
  using Base = WarpgroupConvPolicy<T, 32, 4>;
  static constexpr int taps = 9, most_channels = Base::columns / taps;
  static constexpr int piece_rows = 64, pieces = (Base::most_pixels + piece_rows - 1) / piece_rows;
  static constexpr int stage_pixels = pieces * piece_rows;  ///< what lies behind a box is read, too
  static constexpr int consumer_pieces = pieces / Base::consumers,
                       consumer_threads = Base::warpgroup * Base::consumers;
  static_assert(pieces % Base::consumers == 0);

  /// Whether a convolution is one for this kernel.
  static constexpr bool serves(const PlaceGeometries& places, index_t out_channels) {
    const ConvGeometry& at = places.of[0];
    return places.count == 1 && out_channels <= most_channels && at.height.stride == 1 &&
           at.height.taps == 3 && at.width.taps == 3;
  }
};

/// A block's shared memory.
template <class Policy>
struct NarrowConvShared : WarpgroupConvShared<Policy> {
  /// (rows of a box, columns); the odd length of a row spreads a column over the banks.
  float sums[Policy::pieces * Policy::piece_rows][Policy::columns + 1];
};

template <class T, class Finish, class OutType>
struct NarrowConvKernel {
  using Policy = NarrowConvPolicy<T>;
  using Out = OutType;
  struct Params {
    WarpgroupConvParams<T> conv;
    VideoView<Out> out;
    Finish epilogue;
  };
};

/// A computing warpgroup: three pieces of a box's rows by all columns.
template <class Policy>
class NarrowConvConsumer {
 public:
  using T = typename Policy::Element;

  __device__ NarrowConvConsumer(const WarpgroupConvParams<T>& params, NarrowConvShared<Policy>& shared,
                                int consumer)
      : params_(params),
        shared_(shared),
        first_row_(consumer * Policy::consumer_pieces * Policy::piece_rows) {}

  /// Leaves the sums of the tile's box in shared memory.
  __device__ void accumulate(const ConvTile& tile) {
    Accumulator<Policy::columns> sums[Policy::consumer_pieces];
#pragma unroll
    for (auto& of_piece : sums)
#pragma unroll
      for (float& sum : of_piece.at) sum = 0;
    params_.for_each_frame(tile, [&](int, int) {
      for (int block = 0; block < params_.depth_blocks; ++block) {
        shared_.pixels_full[pixels_.stage].wait(pixels_.parity);
        shared_.weights_full[weights_.stage].wait(weights_.parity);
        multiply(sums);
        wgmma_wait<0>();
        if (threadIdx.x % Policy::warpgroup == 0)
          shared_.pixels_free[pixels_.stage].arrive(), shared_.weights_free[weights_.stage].arrive();
        pixels_.advance(), weights_.advance();
      }
    });
    const int thread = threadIdx.x % Policy::warpgroup;
#pragma unroll
    for (int piece = 0; piece < Policy::consumer_pieces; ++piece) {
      keep_in_place(sums[piece]);
      const int row = first_row_ + piece * Policy::piece_rows + AccumulatorRows::first_row(thread),
                column = AccumulatorRows::first_column(thread);
#pragma unroll
      for (int i = 0; i < sums[piece].size; ++i)
        shared_.sums[row + 8 * AccumulatorRows::row_of(i)][column + AccumulatorRows::column_of(i)] =
            sums[piece].at[i];
    }
  }

 private:
  __device__ void multiply(Accumulator<Policy::columns> (&sums)[Policy::consumer_pieces]) const {
    const SharedOperand weights = SharedOperand::along_depth(shared_.weights[weights_.stage]);
    wgmma_fence();
#pragma unroll
    for (int piece = 0; piece < Policy::consumer_pieces; ++piece) {
      const SharedOperand pixels = SharedOperand::along_depth(
          shared_.pixels[pixels_.stage] + (first_row_ + piece * Policy::piece_rows) * Policy::depth);
#pragma unroll
      for (int product = 0; product < Policy::products; ++product)
        wgmma<T>(sums[piece], pixels.advanced(32 * product), weights.advanced(32 * product), true);
    }
    wgmma_commit();
  }

  const WarpgroupConvParams<T>& params_;
  NarrowConvShared<Policy>& shared_;
  const int first_row_;
  RingPosition<Policy::pixel_stages> pixels_;
  RingPosition<Policy::weight_stages> weights_;
};

/// Each thread a pixel of the tile: the sums that its nine neighbours in the box have for it, then the
/// epilogue.
template <class Kernel>
__device__ void store_narrow(const typename Kernel::Params& params, const ConvTile& tile,
                             const NarrowConvShared<typename Kernel::Policy>& shared) {
  using Policy = typename Kernel::Policy;
  const ConvTiling& tiling = params.conv.tiling;
  const ConvGeometry& at = params.conv.places.of[0];
  const int pixel = static_cast<int>(threadIdx.x) - Policy::warpgroup;  // behind the fetching warpgroup
  const int x = pixel % tiling.width, y = pixel / tiling.width;
  const auto& out = params.out;
  if (tile.x + x >= out.width || tile.y + y >= out.height) return;
  const int channels = static_cast<int>(out.channels);
  const index_t row = (at.frames.place(tile.frame) * out.height + tile.y + y) * out.width + tile.x + x;
  const auto finish = params.epilogue.row(row);
  float results[Policy::most_channels];
#pragma unroll
  for (int c = 0; c < Policy::most_channels; ++c)
    if (c < channels) {
      float sum = float(params.conv.bias[c]);
#pragma unroll
      for (int tap = 0; tap < Policy::taps; ++tap)
        sum += shared.sums[(y + tap / 3) * params.conv.boxes.width + x + tap % 3][tap * channels + c];
      results[c] = finish(sum, index_t{c});
    }
#pragma unroll
  for (int c = 0; c < Policy::most_channels; ++c)
    if (c < channels) round_into(out.data[row * channels + c], results[c]);
}

/// As warpgroup_conv_kernel.
template <class Kernel>
__global__ void __launch_bounds__(has_warpgroup_products ? Kernel::Policy::threads : 32, 1)
    narrow_conv_kernel(const __grid_constant__ typename Kernel::Params params) {
  if constexpr (has_warpgroup_products) {
    using Policy = typename Kernel::Policy;
    auto& shared = shared_memory<NarrowConvShared<Policy>>();
    if (threadIdx.x == 0) shared.initialize_barriers();
    __syncthreads();

    const ConvTiling& tiling = params.conv.tiling;
    const int warpgroup = __shfl_sync(0xFFFFFFFFu, static_cast<int>(threadIdx.x) / Policy::warpgroup, 0);
    if (warpgroup == 0) {
      ConvProducer<Policy> producer(params.conv, shared);
      if (threadIdx.x == 0)
        for_each_resident_tile(tiling, [&](const ConvTile& tile) { producer.fetch(tile); });
    } else {
      NarrowConvConsumer<Policy> consumer(params.conv, shared, warpgroup - 1);
      for_each_resident_tile(tiling, [&](const ConvTile& tile) {
        consumer.accumulate(tile);
        named_barrier_wait(1, Policy::consumer_threads);
        store_narrow<Kernel>(params, tile, shared);
        named_barrier_wait(1, Policy::consumer_threads);  // the next tile's sums may come
      });
    }
  }
}

/// The convolution where conv_path() says ConvKernel::warpgroup and NarrowConvPolicy::serves it; `weight` as
/// launch_warpgroup_conv takes it. Sums are float32, over input frames and blocks of 64 channels for each
/// tap, then the bias and the taps.
template <Element T, Element Out, class Finish>
void launch_narrow_conv(Device device, const PlaceGeometries& places, VideoView<const T> in, const T* weight,
                        VectorView<const T> bias, const Finish& epilogue, VideoView<Out> out) {
  using Kernel = NarrowConvKernel<T, Finish, Out>;
  using Policy = typename Kernel::Policy;
  const ConvGeometry& first = places.of[0];
  const auto tiling = ConvTiling::of(places, out, Policy::tile_shapes, Policy::columns);
  ConvBoxes boxes = ConvBoxes::of(first, tiling);
  const int columns = boxes.taps * static_cast<int>(out.channels);  // one tap behind the other, as they lie
  boxes.taps = 1;
  const typename Kernel::Params params{
      .conv =
          warpgroup_conv_params<Policy>(places, in, tiling, boxes, weight, columns, first.frames.taps, bias),
      .out = out,
      .epilogue = epilogue};
  launch({.grid = resident_blocks(tiling.count()),
          .block = Policy::threads,
          .shared_bytes = sizeof(NarrowConvShared<Policy>),
          .stream = device.stream},
         narrow_conv_kernel<Kernel>, params);
}

}  // namespace stepvideo
