// attention at the sizes of the demo's transformer, of longer videos, and of the VAE's one wide head.

#include <omp.h>

#include <stepvideo/kernels/attention/attention.hpp>

#include "support/timing.hpp"

using namespace stepvideo;

namespace {

struct Size {
  const char* name;
  index_t batch, queries, keys, heads, dim;
};

/// `share` of the scores are computed: all, or half where the mask is causal.
template <class T, class Mask>
void run(const Size& size, const Mask& mask, double share) {
  const auto [name, batch, queries, keys, heads, dim] = size;
  const auto q = bench::random_inputs<T>(batch * queries * heads * dim);
  const auto k = bench::random_inputs<T>(batch * keys * heads * dim),
             v = bench::random_inputs<T>(batch * keys * heads * dim);
  const Buffer<T> out(batch * queries * heads * dim);
  const auto view = [&](const Buffer<T>& values, index_t tokens) {
    return HeadsView<T>::dense(values.data(), batch, tokens, heads, dim);
  };
  const double seconds = bench::fastest_seconds([&](int set) {
    attention(host, view(q[set], queries), view(k[set], keys), view(v[set], keys), mask, view(out, queries),
              {});
  });
  const double flops = share * 4.0 * static_cast<double>(batch * queries * keys * heads * dim);
  std::printf("%-4s %-24s %td x %td queries, %td keys, %td heads of %td  %9.3f ms  %6.1f GFLOP/s\n",
              element_name<T>.data(), name, batch, queries, keys, heads, dim, seconds * 1e3,
              flops / seconds * 1e-9);
}

template <class T>
void run_all() {
  run<T>({"demo, self", 2, 108, 108, 3, 64}, FullMask{}, 1.0);
  run<T>({"demo, cross", 2, 108, 97, 3, 64}, FullMask{}, 1.0);
  run<T>({"2048 tokens", 1, 2048, 2048, 8, 64}, FullMask{}, 1.0);
  run<T>({"1024 tokens", 1, 1024, 1024, 4, 128}, FullMask{}, 1.0);
  run<T>({"VAE, causal", 1, 1500, 1500, 1, 512}, CausalMask{}, 0.5);
}

}  // namespace

int main() {
  std::printf("attention, %d threads\n", omp_get_max_threads());
  run_all<float>();
  run_all<bf16>();
}
