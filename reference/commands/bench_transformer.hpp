// What a GPU's transformer takes: a block beside its matrix work alone, and all blocks with the ends.
#pragma once
#include <optional>
#include <string>

#include <stepvideo/core/shape.hpp>

#include "place/place.hpp"

namespace stepvideo::commands {

/// Whether this build has these benches.
bool can_bench_models();

struct TransformerBenchRequest {
  VideoShape video{.frames = 204, .height = 544, .width = 992};
  int layers = 48;  ///< of the release's width, with random weights
  double matrix_seconds =
      10;  ///< the matrix work alone is chained for so long, so that the power limit bites
  bool multiplies_in_fp8 = false, attends_in_fp8 = false;  ///< bf16 where not
  std::optional<std::string> pytorch;  ///< a Python with PyTorch, which times the release's block
};

/// Measures and prints. Throws RequestError for a place without a GPU, Error where CUDA or PyTorch
/// fails.
void bench_transformer(const place::Place& place, const TransformerBenchRequest& request);

/// Measures both text encoders on a prompt and a negative prompt, resident, and prints. Throws as
/// bench_transformer.
void bench_encoders(const place::Place& place);

}  // namespace stepvideo::commands
