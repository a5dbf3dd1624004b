// --weights: a model's tensors without their files, for measuring real shapes.
#pragma once
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "commands/options.hpp"
#include "host_memory.hpp"
#include "io/extension.hpp"
#include "io/json.hpp"
#include "io/model_folder.hpp"
#include "pipeline/weights.hpp"

namespace stepvideo::commands {

/// SEED of "random:SEED". Throws RequestError naming --weights.
inline std::uint64_t parse_random_weights(const std::string& text) {
  constexpr std::string_view prefix = "random:";
  const std::string word = io::lower_case(text);
  const std::string_view digits = std::string_view(word).substr(std::min(prefix.size(), word.size()));
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  require(word.starts_with(prefix) && error == std::errc{} && end == digits.data() + digits.size(), [&] {
    return fmt::format("--weights: '{}' cannot be read; random:SEED with a whole number works", text);
  });
  return seed;
}

struct WeightFlags {
  std::optional<std::string> weights;
  std::optional<std::uint64_t> seed;  ///< of random weights, after source()

  /// Instead of common(): with random weights, or with a flag that tells of a model, --model may be left out.
  FlagParser& declare(FlagParser& parser, std::vector<std::string> telling = {}) {
    const auto heading = parser.topic("Model and machine");
    telling.emplace_back("weights");
    return parser.common_without_model()
        .flag("weights", weights,
              "random:SEED: normal noise of the model's shapes instead of its files; without --model the "
              "release's shapes [the model's own]")
        .require("model", std::move(telling));
  }
  /// The model that the flags name. Throws RequestError where --weights is wrong.
  pipeline::ModelSource source(const CommonOptions& common) {
    if (weights) seed = parse_random_weights(*weights);
    return {common.model, seed};
  }
  /// What the flags leave open, as an earlier run had it.
  void take_missing(const io::Json& manifest) {
    if (const auto found = manifest.find("weights");
        !weights && found != manifest.end() && found->is_string())
      weights = found->get<std::string>();
  }
  /// Notes random weights in a manifest.
  void put(io::Json& manifest) const {
    if (seed) manifest["weights"] = fmt::format("random:{}", *seed);
  }
  /// The components of which a manifest holds a digest: none of random weights.
  std::vector<io::Component> components(std::vector<io::Component> of_files) const {
    return seed ? std::vector<io::Component>{} : of_files;
  }
};

/// Throws RequestError where the memory of the run's place cannot hold a model of these tensors.
inline void require_weights_fit(const CommonOptions& common, const std::string& model,
                                const std::vector<io::ExpectedTensor>& tensors, Precision precision) {
  double bytes = 0;
  for (const auto& tensor : tensors) bytes += static_cast<double>(io::element_count(tensor.shape));
  bytes *= precision == Precision::fp32 ? 4 : precision == Precision::bf16 ? 2 : 1;  // at least
  if (common.place.is_gpu()) return place::require_free_memory(common.place, bytes);
  const auto memory = static_cast<double>(read_host_memory().total_bytes);
  require(bytes <= memory, [&] {
    constexpr double gibibyte = 1 << 30;
    return fmt::format("the weights of {} take {:.1f} GiB in {} and this machine has {:.1f}; {}", model,
                       bytes / gibibyte, to_string(precision), memory / gibibyte,
                       bytes / 2 <= memory && precision == Precision::fp32 ? "--precision bf16 works"
                                                                           : "one with more works");
  });
}

}  // namespace stepvideo::commands
