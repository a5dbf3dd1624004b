// The same work in PyTorch, timed by a child process.
#pragma once
#include <map>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>

#include "support/report.hpp"

namespace stepvideo::commands {

struct PytorchTimes {
  std::string versions;  ///< "PyTorch 2.11.0 with CUDA 13.0, cuDNN 91900"
  std::map<std::string, bench::Baseline> rows;
};

/// Runs bench/compare_pytorch_kernels.py under `python` for the rows of the named benches; what it says on
/// its error stream passes through. Throws Error when it fails.
PytorchTimes time_pytorch(const std::string& python, const std::vector<std::string>& benches);

/// One block of the transformer as the release computes it.
struct PytorchBlock {
  std::string versions;
  double milliseconds = 0, peak_bytes = 0;
};

/// Runs bench/compare_pytorch_block.py under `python`. Throws Error when it fails.
PytorchBlock time_pytorch_block(const std::string& python, LatentShape latent, index_t visible_tokens);

}  // namespace stepvideo::commands
