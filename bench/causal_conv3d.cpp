// causal_conv3d with a residual against one sgemm of 2048 x 2048 x 2048 on as many cores.
#include <array>

#include <omp.h>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/tile/sgemm.hpp>

#include "support/timing.hpp"

using namespace stepvideo;

namespace {

double sgemm_flops_per_second() {
  constexpr index_t size = 2048;
  const auto in = bench::random_inputs<float>(size * size), weight = bench::random_inputs<float>(size * size);
  const Buffer<float> out(size * size);
  openblas_set_num_threads(omp_get_max_threads());
  const double seconds = bench::fastest_seconds([&](int set) {
    sgemm_tile(in[set].matrix(size, size), weight[set].matrix(size, size), 0.0f, out.matrix(size, size));
  });
  return 2.0 * size * size * size / seconds;
}

template <class T>
void run(index_t frames, index_t side, index_t in_channels, index_t out_channels, double sgemm) {
  const ConvShape shape{out_channels, in_channels, 3, 3, 3};
  const index_t pixels = frames * side * side;
  const auto in = bench::random_inputs<T>(pixels * in_channels),
             residual = bench::random_inputs<T>(pixels * out_channels);
  const auto weight = bench::random_inputs<T>(shape.elements()), bias = bench::random_inputs<T>(out_channels);
  const Buffer<T> packed(conv_weight_elements(host, shape)), out(pixels * out_channels);
  const auto packed_weight = pack_conv_weight(host, weight[0].vector(), shape, packed.vector());
  const double seconds = bench::fastest_seconds([&](int set) {
    causal_conv3d(host, VideoView<T>{in[set].data(), frames, side, side, in_channels}, packed_weight,
                  bias[0].vector(), {}, Residual<T>{residual[set].matrix(pixels, out_channels)},
                  VideoView<T>{out.data(), frames, side, side, out_channels});
  });
  // Zero frames and zero rows are skipped and do not count.
  const index_t row_taps = (3 * frames - 3) * (3 * side - 2);
  const double rate = 2.0 * static_cast<double>(row_taps * 3 * side * in_channels * out_channels) / seconds;
  std::printf("%-4s %2tdx%3tdx%3td %4td to %4td  %8.3f ms  %6.1f GFLOP/s  %.2f of sgemm\n",
              element_name<T>.data(), frames, side, side, in_channels, out_channels, seconds * 1e3,
              rate * 1e-9, rate / sgemm);
}

}  // namespace

int main() {
  const double sgemm = sgemm_flops_per_second();
  std::printf("causal_conv3d, kernel 3, with residual, %d threads; sgemm: %.1f GFLOP/s\n",
              omp_get_max_threads(), sgemm * 1e-9);
  for (const auto& [frames, side, in, out] : {std::array<index_t, 4>{20, 96, 32, 32},
                                              {20, 96, 64, 64},
                                              {10, 48, 32, 32},
                                              {10, 48, 64, 64},
                                              {10, 48, 128, 128},
                                              {5, 24, 128, 128},
                                              {20, 96, 64, 3},
                                              {3, 6, 16, 128}}) {
    run<float>(frames, side, in, out, sgemm);
    run<bf16>(frames, side, in, out, sgemm);
  }
}
