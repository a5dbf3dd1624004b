// A build without CUDA, or without the benches.
#include <stepvideo/core/error.hpp>

#include "commands/bench_device.hpp"
#include "commands/bench_links.hpp"
#include "commands/bench_transformer.hpp"
#include "commands/bench_vae.hpp"

namespace stepvideo::commands {

bool can_bench_device() {
  return false;
}

void bench_device(const DeviceBenchRequest&) {
  throw RequestError(
      "--device cuda: this stepvideo was built without the GPU's benches (STEPVIDEO_CUDA=ON and "
      "STEPVIDEO_BENCH=ON build them); --device cpu works");
}

void bench_matmuls(const MatmulSearchRequest&) {
  throw RequestError(
      "bench linear: this stepvideo was built without the GPU's benches; STEPVIDEO_CUDA=ON and "
      "STEPVIDEO_BENCH=ON "
      "build them");
}

namespace {

[[noreturn]] void refuse_model_bench(const char* name) {
  throw RequestError(std::string("bench ") + name +
                     " measures a GPU and this program was built without CUDA or the benches; a build with "
                     "STEPVIDEO_CUDA=ON and STEPVIDEO_BENCH=ON has it");
}

}  // namespace

bool can_bench_models() {
  return false;
}

void bench_transformer(const place::Place&, const TransformerBenchRequest&) {
  refuse_model_bench("transformer");
}

void bench_encoders(const place::Place&) {
  refuse_model_bench("encoders");
}

void bench_links(const place::Place&, const LinksBenchRequest&) {
  refuse_model_bench("links");
}

void bench_vae(const place::Place&, const VaeBenchRequest&) {
  refuse_model_bench("vae");
}

}  // namespace stepvideo::commands
