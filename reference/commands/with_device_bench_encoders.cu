#include <fmt/format.h>

#include "commands/bench_model.cuh"
#include "commands/bench_transformer.hpp"
#include "model/noise_source.hpp"
#include "model/on_gpu.cuh"
#include "place/accelerator.cuh"

namespace stepvideo::commands {
namespace {

constexpr index_t prompts = 2, llm_tokens = 320;
constexpr int runs = 7;

template <class Encode>
void measure(Device at, const char* name, Encode&& encode) {
  encode();
  Marks marks(at);
  marks.mark();
  for (int run = 0; run < runs; ++run) encode(), marks.mark();
  fmt::print("{:<44} {:>9.2f} ms\n", name, median_of(marks.intervals()));
}

Buffer<std::int32_t, Device> some_ids(Device at, index_t count, int vocabulary) {
  Buffer<std::int32_t> ids(count);
  for (index_t i = 0; i < count; ++i) ids[i] = static_cast<std::int32_t>((i * 7919 + 13) % vocabulary);
  return transfer(at, std::move(ids));
}

}  // namespace

void bench_encoders(const place::Place& place) {
  place::Accelerator& accelerator = place.accelerator();
  const Device at = accelerator.compute();
  const model::StepLlmConfig llm_config;
  const model::ClipTextConfig clip_config;
  const model::StepLlm<bf16, Device> llm(
      at, llm_config, model::NoiseSource<Device>(at, model::expected_tensors(llm_config), 1));
  const model::ClipText<float, Device> clip(
      at, clip_config, model::NoiseSource<Device>(at, model::expected_tensors(clip_config), 2));
  synchronize(at);
  fmt::print("{}, the text encoders with random weights, {:.1f} GB, {} prompts\n", place.name(),
             1e-9 * static_cast<double>(accelerator.gpu.used_bytes()), prompts);
  const auto llm_ids = some_ids(at, prompts * llm_tokens, llm_config.vocabulary);
  const auto clip_ids = some_ids(at, prompts * clip_config.positions, clip_config.vocabulary);
  const Buffer<float, Device> llm_states(at, llm_ids.size() * llm_config.width()),
      clip_states(at, clip_ids.size() * clip_config.width());
  const std::vector<index_t> lengths(prompts, clip_config.positions / 2);
  const auto run_llm = [&] {
    llm.encode(MatrixView<const std::int32_t>(llm_ids.matrix(prompts, llm_tokens)),
               TokensView<float>::dense(llm_states.data(), prompts, llm_tokens, llm_config.width()));
  };
  const auto run_clip = [&] {
    clip.encode(
        MatrixView<const std::int32_t>(clip_ids.matrix(prompts, clip_config.positions)), lengths,
        TokensView<float>::dense(clip_states.data(), prompts, clip_config.positions, clip_config.width()));
  };
  measure(at, "Step-LLM, bf16, 320 tokens a prompt", run_llm);
  measure(at, "CLIP, fp32, 77 tokens a prompt", run_clip);
  measure(at, "both", [&] { run_llm(), run_clip(); });
}

}  // namespace stepvideo::commands
