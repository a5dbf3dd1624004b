// --compare-with: what a run's arithmetic costs, measured by making the same request in another.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "commands/options.hpp"
#include "pipeline/generator.hpp"
#include "pipeline/job.hpp"

namespace stepvideo::commands {

struct CompareFlag {
  std::optional<std::string> with;

  void declare(FlagParser& parser) {
    parser.choice("compare-with", with, {"fp32", "bf16", "fp8"},
                  "makes the same request in this precision, too; prints PSNR and SSIM of latents and frames "
                  "against it [none]");
  }

  /// The job to compare with, not begun: the run's own but for its numerics, or none. Throws RequestError:
  /// several videos or processes, the run's own precision, frames that the memory does not hold beside a
  /// decoder.
  std::vector<pipeline::Job> reference_of(const std::vector<pipeline::Job>& jobs, const CommonOptions& common,
                                          const pipeline::Generator& generator,
                                          const pipeline::CodecSettings& vae) const;

  /// Makes the reference, whose latents are decoded beside `made`, those of the run. Returns what is said of
  /// both.
  std::string compare(std::vector<pipeline::Job>& reference, const pipeline::Latents& made,
                      const pipeline::CodecSettings& made_vae, const pipeline::Generator& generator,
                      const pipeline::RunOptions& options, Progress& progress) const;
};

}  // namespace stepvideo::commands
