// What this machine's CPU reaches, kernel by kernel and for a whole model.
#pragma once
#include <filesystem>
#include <optional>

namespace stepvideo::commands {

/// Measures and prints a table: OpenBLAS's sgemm on all threads as the yardstick, then the dense layer and
/// the convolutions, each with its share of it; with `model` (a checkpoint folder) also one transformer
/// forward of a guided pair and one VAE decode, for 17 frames of 96x96. float32; medians; inputs rotate so
/// that none is found in the cache. Throws RequestError where the model is not one.
void bench_cpu(const std::optional<std::filesystem::path>& model);

}  // namespace stepvideo::commands
