// fp8 attention: time with and without its quantisation, and its error on normal inputs and on outliers.
//     bench_fp8_attention [tokens heads]...
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/attention/fp8_attention.cuh>

using namespace stepvideo;

namespace {

constexpr index_t dim = 128;
constexpr int sampled_queries = 32;

/// Normal values by hashing and Box-Muller; one in `one_in` is ten times as large (0: none).
__global__ void fill_kernel(bf16* values, index_t size, unsigned seed, unsigned one_in) {
  const auto hash = [](unsigned x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
  };
  for (index_t i = blockIdx.x * index_t{blockDim.x} + threadIdx.x; i < size;
       i += index_t{gridDim.x} * blockDim.x) {
    const unsigned a = hash(static_cast<unsigned>(i) ^ seed * 0x9e3779b9u), b = hash(a ^ 0x68bc21ebu),
                   c = hash(b + 77);
    const float normal = sqrtf(-2 * logf((a + 1.0f) * 0x1p-32f)) * cospif(b * 0x1p-31f);
    values[i] = bf16(one_in > 0 && c % one_in == 0 ? 10 * normal : normal);
  }
}

/// One block a query: its result in double.
__global__ void reference_kernel(HeadsView<const bf16> queries, HeadsView<const bf16> keys,
                                 HeadsView<const bf16> values, double scale, double* weights, double* out) {
  __shared__ double row[dim], partial[256];
  const index_t token = blockIdx.x * (queries.tokens / gridDim.x), head = blockIdx.y;
  weights += (blockIdx.y * index_t{gridDim.x} + blockIdx.x) * keys.tokens;
  if (threadIdx.x < dim) row[threadIdx.x] = float(queries.row(0, token, head)[threadIdx.x]);
  __syncthreads();
  double sum = 0;
  for (index_t key = threadIdx.x; key < keys.tokens; key += blockDim.x) {
    double score = 0;
    for (int i = 0; i < dim; ++i) score += row[i] * float(keys.row(0, key, head)[i]);
    sum += weights[key] = exp(score * scale);
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (double part : partial) sum += part;
  if (threadIdx.x >= dim) return;
  double result = 0;
  for (index_t key = 0; key < keys.tokens; ++key)
    result += weights[key] * float(values.row(0, key, head)[threadIdx.x]);
  out[(blockIdx.y * gridDim.x + blockIdx.x) * dim + threadIdx.x] = result / sum;
}

class Stopwatch {
 public:
  Stopwatch() { cudaEventCreate(&begin_), cudaEventCreate(&end_); }
  /// The median of `runs` runs of call(run), in milliseconds.
  template <class Call>
  double median(int runs, Call&& call) {
    std::vector<float> times;
    call(0);
    for (int run = 0; run < runs; ++run) {
      check(cudaEventRecord(begin_));
      call(run);
      check(cudaEventRecord(end_));
      check(cudaEventSynchronize(end_));
      times.push_back(0);
      check(cudaEventElapsedTime(&times.back(), begin_, end_));
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

 private:
  cudaEvent_t begin_, end_;
};

struct Inputs {
  Buffer<bf16, Device> queries, keys, values;
};

Inputs random_inputs(index_t size, unsigned seed, unsigned one_in) {
  Inputs inputs{Buffer<bf16, Device>(size), Buffer<bf16, Device>(size), Buffer<bf16, Device>(size)};
  for (auto* buffer : {&inputs.queries, &inputs.keys, &inputs.values})
    fill_kernel<<<1024, 256>>>(buffer->data(), size, seed++, one_in);
  return inputs;
}

void measure(index_t tokens, index_t heads, bool judge) {
  const index_t size = tokens * heads * dim;
  const int sets = size > 50'000'000 ? 2 : 8;
  const auto view = [&](const Buffer<bf16, Device>& buffer) {
    return HeadsView<bf16>::dense(buffer.data(), 1, tokens, heads, dim);
  };
  std::vector<Inputs> inputs;
  for (int set = 0; set < sets; ++set) inputs.push_back(random_inputs(size, 100u + 3u * set, 0));
  const Buffer<bf16, Device> out(size);
  const auto bytes = fp8_attention_workspace(device, view(out), view(out));
  const Buffer<std::byte, Device> memory(static_cast<index_t>(bytes));
  const AttentionOptions options{};
  const auto quantise = [&](int run, const QuantizeOptions& how) {
    const Inputs& in = inputs[run % sets];
    return quantize_attention<bf16>(device, view(in.queries), view(in.keys), view(in.values), how, how.center,
                                    Workspace(memory));
  };
  const auto attend = [&](const Fp8Operands& operands) {
    fp8_attention(device, QuantizedHeads<const fp8_e4m3>(operands.queries),
                  QuantizedHeads<const fp8_e4m3>(operands.keys),
                  QuantizedValues<const fp8_e4m3>(operands.values), FullMask{}, view(out), options);
  };
  Stopwatch watch;
  const int runs = size > 50'000'000 ? 5 : 20;
  const auto operands = quantise(0, {});
  const double alone = watch.median(runs, [&](int) { attend(operands); });
  const double quantisation = watch.median(runs, [&](int run) { quantise(run, {}); });
  const double plain =
      watch.median(runs, [&](int run) { quantise(run, {.rotate = false, .center = false}); });
  const double whole = watch.median(runs, [&](int run) { attend(quantise(run, {})); });
  const double flops = 4.0 * double(tokens) * double(tokens) * double(heads * dim);
  std::printf(
      "%6td tokens %2td heads: whole %8.3f ms %6.1f TFLOP/s | attention %8.3f ms %6.1f | quantise %6.3f ms "
      "(%.0f GB/s), neither rotated nor centred %6.3f ms\n",
      tokens, heads, whole, flops / whole * 1e-9, alone, flops / alone * 1e-9, quantisation,
      double(size) * (5 * 2 + 3) / quantisation * 1e-6, plain);
  if (!judge) return;

  for (unsigned one_in : {0u, 1000u}) {
    const Inputs in = random_inputs(size, 7, one_in);
    const index_t judged = std::min<index_t>(heads, 4);
    const Buffer<double, Device> weights(judged * sampled_queries * tokens),
        expected(judged * sampled_queries * dim);
    reference_kernel<<<dim3(sampled_queries, unsigned(judged)), 256>>>(
        view(in.queries), view(in.keys), view(in.values), options.scale_for(dim), weights.data(),
        expected.data());
    for (bool rotate : {true, false}) {
      check(cudaMemset(out.data(), 0xFF, out.size_bytes()));
      fp8_attention<bf16>(device, view(in.queries), view(in.keys), view(in.values), FullMask{}, view(out),
                          options, {.rotate = rotate}, Workspace(memory));
      Buffer<bf16> results(size);
      Buffer<double> reference(expected.size());
      copy(device, out, results), copy(device, expected, reference);
      synchronize(device);
      double squares = 0, norm = 0, mean = 0;
      for (index_t head = 0; head < judged; ++head)
        for (index_t query = 0; query < sampled_queries; ++query)
          for (index_t i = 0; i < dim; ++i) {
            const index_t token = query * (tokens / sampled_queries);
            const double wanted = reference[(head * sampled_queries + query) * dim + i];
            const double error = double(float(results[(token * heads + head) * dim + i])) - wanted;
            squares += error * error, norm += wanted * wanted, mean += error;
          }
      std::printf("  %s, %s: relative error %.4f, absolute %.2e, of which bias %.2e\n",
                  one_in ? "0.1 % of entries ten times as large" : "normal",
                  rotate ? "rotated" : "not rotated", std::sqrt(squares / norm),
                  std::sqrt(squares / double(reference.size())), mean / double(reference.size()));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::pair<index_t, index_t>> shapes;
  for (int i = 1; i + 1 < argc; i += 2) shapes.emplace_back(std::atoll(argv[i]), std::atoll(argv[i + 1]));
  if (shapes.empty()) shapes = {{75'888, 48}, {75'888, 12}, {16'384, 6}};
  for (const auto& [tokens, heads] : shapes) measure(tokens, heads, tokens * heads < 80'000 * 12 + 1);
}
