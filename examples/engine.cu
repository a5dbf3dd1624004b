// A call as an engine makes it: CUDA's own elements and streams, captured into a graph.
#include <cmath>
#include <cstdio>
#include <type_traits>
#include <vector>

#include <cuda_bf16.h>

#include <stepvideo/core/check.cuh>
#include <stepvideo/core/element_cast.hpp>
#include <stepvideo/kernels/attention/attention.cuh>

namespace sv = stepvideo;

/// Queries, keys, values and the result (tokens, heads, 128), causal, on `stream`.
void attend(cudaStream_t stream, const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v,
            __nv_bfloat16* result, int tokens, int heads) {
  const auto view = [&](auto* elements) {
    auto* const data = sv::element_cast<sv::bf16>(elements);
    return sv::HeadsView<std::remove_pointer_t<decltype(data)>>::dense(data, 1, tokens, heads, 128);
  };
  sv::attention(sv::Device{stream}, view(q), view(k), view(v), sv::CausalMask{}, view(result), {});
}

/// The same, to be launched again and again.
cudaGraphExec_t capture(cudaStream_t stream, const __nv_bfloat16* q, const __nv_bfloat16* k,
                        const __nv_bfloat16* v, __nv_bfloat16* result, int tokens, int heads) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  sv::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  attend(stream, q, k, v, result, tokens, heads);
  sv::check(cudaStreamEndCapture(stream, &graph));
  sv::check(cudaGraphInstantiate(&executable, graph, 0));
  sv::check(cudaGraphDestroy(graph));
  return executable;
}

int main() {
  int gpus = 0;
  if (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus == 0) {
    std::puts("skipped: this machine has no CUDA GPU");
    return 77;
  }
  constexpr int tokens = 100, heads = 2, elements = tokens * heads * 128;
  std::vector<__nv_bfloat16> host(elements);
  for (int i = 0; i < elements; ++i) host[i] = __float2bfloat16(std::sin(0.37f * static_cast<float>(i)));
  __nv_bfloat16 *in = nullptr, *result = nullptr;
  cudaStream_t stream = nullptr;
  sv::check(cudaMalloc(&in, elements * sizeof *in));
  sv::check(cudaMalloc(&result, elements * sizeof *result));
  sv::check(cudaMemcpy(in, host.data(), elements * sizeof *in, cudaMemcpyDefault));
  sv::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

  const cudaGraphExec_t graph = capture(stream, in, in, in, result, tokens, heads);
  sv::check(cudaGraphLaunch(graph, stream));
  sv::check(cudaStreamSynchronize(stream));
  sv::check(cudaMemcpy(host.data(), result, elements * sizeof *in, cudaMemcpyDefault));
  // The first token sees itself alone: its result is its value.
  std::printf("first token, first head: %.6f %.6f; its values: %.6f %.6f\n", __bfloat162float(host[0]),
              __bfloat162float(host[1]), std::sin(0.0), std::sin(0.37));
  sv::check(cudaGraphExecDestroy(graph));
  sv::check(cudaStreamDestroy(stream));
  sv::check(cudaFree(in));
  sv::check(cudaFree(result));
}
