// The arguments of a short denoise on the CPU that keeps every step.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "support/program.hpp"

namespace stepvideo::testing {

/// denoise of the text states in a file to 64 x 96 pixels, with a file at every step; `more` says the rest.
inline std::vector<std::string> denoise_arguments(const std::filesystem::path& model,
                                                  const std::filesystem::path& text,
                                                  const std::filesystem::path& output, int steps,
                                                  const std::vector<std::string>& more) {
  return with({"denoise", "--model", model.string(), "--conditioning", text.string(), "--height", "64",
               "--width", "96", "--steps", std::to_string(steps), "--checkpoint-every", "1", "--reproducible",
               "--quiet", "--device", "cpu", "--output", output.string()},
              more);
}

}  // namespace stepvideo::testing
