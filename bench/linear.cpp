// linear against one sgemm of the whole product on as many cores.
#include <array>

#include <omp.h>

#include <stepvideo/kernels/linear/linear.hpp>

#include "support/timing.hpp"

using namespace stepvideo;

namespace {

template <class T>
void run(index_t rows, index_t columns, index_t depth) {
  const auto in = bench::random_inputs<T>(rows * depth), weight = bench::random_inputs<T>(columns * depth);
  const Buffer<T> out(rows * columns);
  const double seconds = bench::fastest_seconds([&](int set) {
    linear(host, in[set].matrix(rows, depth), weight[set].matrix(columns, depth), Activate<GeluTanh>{},
           out.matrix(rows, columns));
  });

  const auto whole_in = bench::random_inputs<float>(rows * depth),
             whole_weight = bench::random_inputs<float>(columns * depth);
  const Buffer<float> whole_out(rows * columns);
  openblas_set_num_threads(omp_get_max_threads());
  const double sgemm_seconds = bench::fastest_seconds([&](int set) {
    sgemm_tile(whole_in[set].matrix(rows, depth), whole_weight[set].matrix(columns, depth), 0.0f,
               whole_out.matrix(rows, columns));
  });
  openblas_set_num_threads(1);

  const double flops = 2.0 * static_cast<double>(rows * columns * depth);
  std::printf("%-4s %5td x %5td x %5td  %8.3f ms  %6.1f GFLOP/s  sgemm %6.1f  ratio %.2f\n",
              element_name<T>.data(), rows, columns, depth, seconds * 1e3, flops / seconds * 1e-9,
              flops / sgemm_seconds * 1e-9, sgemm_seconds / seconds);
}

}  // namespace

int main() {
  std::printf("linear with GELU, rows x columns x depth, %d threads; sgemm: float32, no epilogue\n",
              omp_get_max_threads());
  keep_blas_single_threaded();
  for (const auto& [rows, columns, depth] :
       {std::array{216, 576, 192}, {216, 768, 192}, {216, 1024, 256}, {216, 256, 1024}, {4096, 1024, 1024}}) {
    run<float>(rows, columns, depth);
    run<bf16>(rows, columns, depth);
  }
}
