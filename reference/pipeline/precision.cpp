#include "pipeline/precision.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::pipeline {

std::string fp8_text(const model::Quantization& quantization, int layers) {
  const auto blocks = [&](const std::vector<bool>& chosen) {
    const auto count = std::ranges::count(chosen, true);
    return count == layers ? std::string("all blocks") : fmt::format("{} of {} blocks", count, layers);
  };
  std::string text;
  if (quantization.multiplies_anywhere()) text = "products of " + blocks(quantization.products);
  if (quantization.attends_anywhere())
    text +=
        fmt::format("{}attention of {}, but in the first {} and the last {} steps", text.empty() ? "" : ", ",
                    blocks(quantization.attention), quantization.first_steps, quantization.last_steps);
  return text;
}

void require_served(const Numerics& numerics, const place::Place& place, int ranks) {
  require(numerics.precision != Precision::fp32 || !numerics.attends_in_fp8,
          [] { return "--attention fp8 does not go with --precision fp32; --precision bf16 and fp8 work"; });
  require(numerics.precision != Precision::fp32 || !numerics.rounds_as_release, [] {
    return "--numerics release rounds to bf16 and the run is in fp32; --precision bf16 and fp8 work, or "
           "--numerics exact";
  });
  require(ranks == 1 || !numerics.attends_in_fp8, [&] {
    return fmt::format("--attention fp8 runs on one rank and the run has {}; --attention bf16 works", ranks);
  });
  if (!place.is_gpu()) return;
  constexpr int first_with_fp8 = 89, hopper = 90;
  const int capability = 10 * place.gpu().major + place.gpu().minor;
  const auto lacks = [&](const char* flag, const char* needed) {
    return fmt::format("{} fp8 needs a GPU of compute capability {} and {} has {}.{}; {} bf16 works", flag,
                       needed, place.name(), place.gpu().major, place.gpu().minor, flag);
  };
  require(numerics.precision != Precision::fp8 || capability >= first_with_fp8,
          [&] { return lacks("--precision", "8.9 or newer"); });
  require(!numerics.attends_in_fp8 || capability == hopper, [&] { return lacks("--attention", "9.0"); });
}

}  // namespace stepvideo::pipeline
