#include "commands/session.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <omp.h>

#include "pipeline/process_ranks.hpp"
#include "plan/hardware_here.hpp"

namespace stepvideo::commands {
namespace {

plan::Arithmetic arithmetic_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return plan::Arithmetic::fp32;
    case Precision::bf16:
      return plan::Arithmetic::bf16;
    case Precision::fp8:
      return plan::Arithmetic::fp8;
  }
  throw Error("no such precision");
}

/// Whether ranks exchange without NCCL, whose buffers take memory.
bool copies_between_gpus(const CommonOptions& options) {
  return options.place.is_gpu() && pipeline::process_ranks() == nullptr &&
         options.exchange.kind != pipeline::ExchangeOptions::Kind::nccl;
}

/// Those that decode: of replicas that are processes, all of theirs.
int decoding_ranks(const CommonOptions& options) {
  const pipeline::ProcessRanks* const processes = pipeline::process_ranks();
  return processes != nullptr ? processes->ranks() : options.ranks;
}

}  // namespace

plan::Cost plan_run(const CommonOptions& options, RunPlan run) {
  plan::Request request{.video = run.video,
                        .steps = run.steps,
                        .arithmetic = arithmetic_of(run.numerics.precision),
                        .attention = arithmetic_of(run.numerics.attention()),
                        .shapes = std::move(run.shapes),
                        .hardware = plan::hardware_here(options.place),
                        .encodes_text = run.is_whole,
                        .decodes = run.is_whole,
                        .vae_memory = run.vae_memory,
                        .is_guided = run.is_guided};
  request.link = plan::load_link(request.hardware.link);
  if (copies_between_gpus(options)) request.link.buffer_bytes = 0;
  // The CPU widens fp8 as it does bf16; its attention in fp8, there to look at, takes longer.
  auto& rates = request.hardware.rates;
  constexpr auto bf16_rates = static_cast<std::size_t>(plan::Arithmetic::bf16),
                 fp8_rates = static_cast<std::size_t>(plan::Arithmetic::fp8);
  if (request.hardware.is_host && !rates[fp8_rates]) rates[fp8_rates] = rates[bf16_rates];
  // Weights stay where they can.
  request.streams_weights = options.place.is_gpu() && options.ranks == 1 &&
                            plan::cost_of(request, {}).peak_bytes() > request.hardware.memory_bytes;
  plan::Cost cost = plan::require_plan(request, options.ranks, options.topology);
  require(run.numerics.precision != Precision::fp8 || cost.topology.tensor == 1, [&] {
    return fmt::format(
        "--precision fp8 does not run with tensor={}, which shares norms; --topology with guidance, "
        "ulysses or ring in its place works",
        cost.topology.tensor);
  });
  const double of_each = cost.phase("denoise")->bytes(), memory = request.hardware.memory_bytes;
  // Replicas on GPUs have their own.
  require(options.place.is_gpu() || options.replicas * of_each <= memory, [&] {
    constexpr double gibibyte = 1 << 30;
    int fitting = options.replicas - 1;  // the ranks are dealt out in equal parts
    while (fitting > 1 && (fitting * of_each > memory || options.ranks % fitting != 0)) --fitting;
    return fmt::format(
        "--replicas {} need {} x {:.1f} GiB of memory and this machine has {:.1f}; --replicas {} works",
        options.replicas, options.replicas, of_each / gibibyte, memory / gibibyte, fitting);
  });
  plan::calibrate(cost, plan::read_calibration(calibration_key(options, run.numerics.precision)));
  return cost;
}

plan::CalibrationKey calibration_key(const CommonOptions& options, Precision precision) {
  return {options.place.is_gpu() ? options.place.name() : "cpu", to_string(precision), omp_get_max_threads()};
}

plan::PhaseCost plan_decode(const CommonOptions& options, VideoShape video,
                            const pipeline::CodecSettings& settings, const model::VaeConfig& config) {
  plan::Request request{.video = video,
                        .arithmetic = arithmetic_of(settings.precision),
                        .hardware = plan::hardware_here(options.place),
                        .vae_memory = settings.memory()};
  request.shapes.vae = config;
  return plan::CostModel(std::move(request)).decode_phase(decoding_ranks(options));
}

void agree_on(const CommonOptions& options, const std::vector<const io::Json*>& manifests, Topology topology,
              const std::vector<std::filesystem::path>& outputs) {
  pipeline::ProcessRanks* const processes = pipeline::process_ranks();
  if (processes == nullptr) return;
  std::vector<SharedFact> facts{{"ranks", std::to_string(processes->ranks())},
                                {"topology", to_string(topology)},
                                {"prompts", std::to_string(manifests.size())}};
  for (const io::Json* const manifest : manifests) {
    const io::Json flat = manifest->flatten();
    for (const auto& [name, value] : flat.items())
      if (!name.starts_with("/model/path")) facts.push_back({name.substr(1), value.dump()});
  }
  for (const auto& [name, value] : options.of_outputs) facts.push_back({name, value});
  for (const auto& output : outputs) facts.push_back({"output", output.string()});
  processes->require_same_facts(facts);
}

bool is_follower() {
  const pipeline::ProcessRanks* const processes = pipeline::process_ranks();
  return processes != nullptr && processes->rank() > 0;
}

pipeline::Ranks ranks_of(const CommonOptions& options, const plan::Cost& cost, int layers, RunFacts facts) {
  return {.topology = cost.topology,
          .on_gpus = options.place.is_gpu(),
          .streams_weights = cost.streams_weights,
          .deadlines = {.factor = options.deadline_factor,
                        .floor_seconds = options.deadline_floor_seconds,
                        // Replicas on the CPU share it.
                        .step_seconds = (options.place.is_gpu() ? 1 : options.replicas) * cost.step_seconds,
                        .layers = layers},
          .exchange = options.exchange,
          .log_file = options.log_file,
          .facts = std::move(facts)};
}

void set_decoders(pipeline::Ranks& ranks, const std::vector<plan::PhaseCost>& decodes) {
  int most = 1, fitting = std::numeric_limits<int>::max();
  for (const plan::PhaseCost& decode : decodes) {
    most = std::max(most, decode.ranks);
    if (!decode.has_memory_for_more_ranks) fitting = std::min(fitting, decode.ranks);
    ranks.decode_turn_seconds = std::max(ranks.decode_turn_seconds, decode.seconds / decode.turns);
  }
  ranks.decoders = std::min(most, fitting);
}

void tell_decoders(const Progress& progress, const CommonOptions& options, const pipeline::Ranks& ranks,
                   const std::vector<plan::PhaseCost>& decodes) {
  if (!std::ranges::all_of(decodes, &plan::PhaseCost::has_memory_for_more_ranks))
    progress.tell(fmt::format("{} of {} ranks decode: the memory holds no more decoders", ranks.decoders,
                              decoding_ranks(options)));
}

}  // namespace stepvideo::commands
