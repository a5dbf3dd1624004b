// Decoded frames on their way into a file on the GPU, behind the same calls as on the CPU.
#pragma once
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/elementwise/pixels.hpp>
#include <stepvideo/kernels/tile/grid.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// A thread makes `cells` cells that are side by side: four, which move as words, or one, which may lie
/// anywhere.
template <class LayoutType, int cell_count>
struct PixelsPolicy {
  using Layout = LayoutType;
  static constexpr int cells = cell_count, columns = cells * Layout::cell;
  static constexpr int values = columns * Layout::channels;  ///< of a row
  static constexpr bool moves_words = cells > 1;
  static constexpr int threads = 128;
};

template <class Policy>
struct PixelsParams {
  VideoView<const float> frames;
  typename Policy::Layout layout;
  PixelFrames<std::uint8_t> out;
  index_t width;      ///< in samples
  index_t first_row;  ///< of cells
};

namespace elementwise_detail {

/// All of them, as words.
struct StoreWords {
  template <class T, int count>
  __device__ void operator()(T* target, const T (&elements)[count], index_t) const {
    Pack<T, count> pack;
#pragma unroll
    for (int i = 0; i < count; ++i) pack.elements[i] = elements[i];
    store_pack_once(target, pack);
  }
};

/// Those that are in the frame.
struct StoreEach {
  template <class T, int count>
  __device__ void operator()(T* target, const T (&elements)[count], index_t in_frame) const {
#pragma unroll
    for (int i = 0; i < count; ++i)
      if (i < in_frame) target[i] = elements[i];
  }
};

}  // namespace elementwise_detail

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) frames_to_pixels_kernel(PixelsParams<Policy> params) {
  constexpr int cell = Policy::Layout::cell, channels = Policy::Layout::channels;
  const index_t height = params.frames.height, width = params.width;
  const index_t frame = blockIdx.z, row = cell * (params.first_row + blockIdx.y);
  const index_t column = Policy::columns * (index_t{blockIdx.x} * Policy::threads + threadIdx.x);
  if (column >= width) return;

  float values[cell][Policy::values];
#pragma unroll
  for (int y = 0; y < cell; ++y) {
    const float* const source = params.frames.pixel(frame, min(row + y, height - 1), 0);
    if constexpr (Policy::moves_words) {
#pragma unroll
      for (int i = 0; i < Policy::values; i += 4) {
        const auto pack = load_pack_once<4>(source + column * channels + i);
#pragma unroll
        for (int e = 0; e < 4; ++e) values[y][i + e] = pack.elements[e];
      }
    } else {
#pragma unroll
      for (int i = 0; i < Policy::values; ++i)
        values[y][i] = source[min(column + i / channels, width - 1) * channels + i % channels];
    }
  }
  bool has_non_finite = false;
#pragma unroll
  for (int y = 0; y < cell; ++y)
#pragma unroll
    for (int i = 0; i < Policy::values; ++i)
      has_non_finite |= elementwise_detail::is_non_finite(values[y][i]);
  if (has_non_finite) params.out.marks[frame] = 1;  // by whichever threads: the value is the same

  const CellPlace at{height, width, row, column};
  if constexpr (Policy::moves_words) {
    params.layout.put(values, at, params.out.frame(frame), elementwise_detail::StoreWords{});
  } else {
    params.layout.put(values, at, params.out.frame(frame), elementwise_detail::StoreEach{});
  }
}

/// See the host's frames_to_pixels: same shapes, same errors, the same bytes. Runs on device.stream. `out`
/// lies in device memory, or in pinned memory of the host, which can read it as soon as the stream has come
/// so far.
template <PixelLayout Layout>
void frames_to_pixels(Device device, VideoView<const float> frames, const Layout& layout,
                      PixelFrames<std::uint8_t> out) {
  require_pixels_fit(frames, layout, out);
  constexpr int cell = Layout::cell;
  const index_t width = frames.width * 3 / Layout::channels;
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    constexpr index_t of_block = index_t{Policy::threads} * Policy::columns;
    const unsigned blocks = grid_blocks("frames_to_pixels", (width + of_block - 1) / of_block);
    for_each_grid_run(frames.frames, [&](index_t first_frame, unsigned count) {
      for_each_grid_run((frames.height + cell - 1) / cell, [&](index_t first_row, unsigned rows) {
        launch({.grid = dim3(blocks, rows, count), .block = Policy::threads, .stream = device.stream},
               frames_to_pixels_kernel<Policy>,
               PixelsParams<Policy>{frames.frames_from(first_frame, count), layout,
                                    out.frames_from(first_frame, count), width, first_row});
      });
    });
  };
  if (out.size() == 0) return;
  constexpr int cells = 4;
  if (packs_fit<cells * cell>(frames.data, width) && packs_fit<1>(out.data)) {
    launch_with(PixelsPolicy<Layout, cells>{});
  } else {
    launch_with(PixelsPolicy<Layout, 1>{});
  }
}

template <int vector_elements>
struct SeamPolicy {
  static constexpr int vector = vector_elements, threads = 256;
};

template <class Policy>
struct SeamParams {
  VectorView<float> last, first;
};

template <class Policy>
__global__ void __launch_bounds__(Policy::threads) join_seam_kernel(SeamParams<Policy> params) {
  constexpr int vector = Policy::vector;
  const index_t i = (index_t{blockIdx.x} * Policy::threads + threadIdx.x) * vector;
  if (i >= params.last.size) return;
  auto last = load_pack<vector>(params.last.data + i), first = load_pack<vector>(params.first.data + i);
#pragma unroll
  for (int e = 0; e < vector; ++e) join_seam_element(last.elements[e], first.elements[e]);
  store_pack(params.last.data + i, last);
  store_pack(params.first.data + i, first);
}

/// See the host's join_seam: same sizes, same errors, the same bits. Runs on device.stream.
inline void join_seam(Device device, VectorView<float> last, VectorView<float> first) {
  require_seam_fits(last, first);
  if (last.size == 0) return;
  const auto launch_with = [&](auto policy) {
    using Policy = decltype(policy);
    constexpr index_t of_block = index_t{Policy::threads} * Policy::vector;
    launch({.grid = grid_blocks("join_seam", (last.size + of_block - 1) / of_block),
            .block = Policy::threads,
            .stream = device.stream},
           join_seam_kernel<Policy>, SeamParams<Policy>{last, first});
  };
  constexpr int vector = 4;
  if (packs_fit<vector>(last.data, last.size) && packs_fit<vector>(first.data)) {
    launch_with(SeamPolicy<vector>{});
  } else {
    launch_with(SeamPolicy<1>{});
  }
}

}  // namespace stepvideo
