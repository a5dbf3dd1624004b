#include "commands/compare_flag.hpp"

#include <exception>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "pipeline/comparison.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/request.hpp"
#include "pipeline/step_file.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

using pipeline::Job;

/// A file that goes away with this.
class TemporaryFile {
 public:
  explicit TemporaryFile(fs::path path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code unused;
    fs::remove(path_, unused);
  }

 private:
  fs::path path_;
};

}  // namespace

std::vector<Job> CompareFlag::reference_of(const std::vector<Job>& jobs, const CommonOptions& common,
                                           const pipeline::Generator& generator,
                                           const pipeline::CodecSettings& vae) const {
  if (!with) return {};
  require(jobs.size() == 1 && pipeline::process_ranks() == nullptr, [] {
    return "--compare-with compares one video of one process; leave it out, or --prompts, --count and the "
           "launcher";
  });
  const auto precision = pipeline::parse_precision(*with);
  Job reference{.request = jobs.front().request, .output = jobs.front().output, .manifest = {}};
  pipeline::Numerics& numerics = reference.request.numerics;
  require(numerics.precision != *precision || numerics.attends_in_fp8 || numerics.rounds_as_release, [&] {
    return fmt::format("--compare-with {}: the run is in {} already; another --precision shows a difference",
                       *with, *with);
  });
  numerics = {.precision = *precision};
  pipeline::require_served(numerics, common.place, common.ranks);
  if (!reference.output.has_filename()) reference.output = reference.output.parent_path();
  reference.output += fmt::format(".as-{}", *with);
  reference.manifest = jobs.front().manifest;
  for (const char* const field : {"attention", "numerics"}) reference.manifest.erase(field);
  pipeline::put_numerics(reference.manifest, numerics);

  const VideoShape video = reference.request.video;
  pipeline::require_memory(video,
                           pipeline::compared_bytes(video) +
                               (common.place.is_gpu() ? 0 : generator.codec().decode_bytes(video, vae)));
  std::vector<Job> references;
  references.push_back(std::move(reference));
  return references;
}

std::string CompareFlag::compare(std::vector<Job>& reference, const pipeline::Latents& made,
                                 const pipeline::CodecSettings& made_vae,
                                 const pipeline::Generator& generator, const pipeline::RunOptions& options,
                                 Progress& progress) const {
  Job& job = reference.front();
  const TemporaryFile steps(pipeline::step_file_of(job.output));
  progress.tell(fmt::format("the video is there; now the same run in {}, to compare", *with));
  try {
    generator.make_latents(reference, options, progress);
    if (job.failure) std::rethrow_exception(job.failure);
    const auto comparison =
        pipeline::compare(generator.codec(), {made, made_vae}, {*job.latents, options.vae}, progress);
    return fmt::format("against the same run in {}: {}", *with, to_string(comparison));
  } catch (const Interrupted& interrupt) {
    throw Interrupted("interrupted while comparing; the video is there", interrupt.where());
  }
}

}  // namespace stepvideo::commands
