// What a user asks of generate, and the jobs that it makes.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "commands/command.hpp"
#include "commands/compare_flag.hpp"
#include "commands/generate_wishes.hpp"
#include "commands/keep_flags.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/preview_flags.hpp"
#include "commands/provenance.hpp"
#include "commands/vae_flags.hpp"
#include "commands/video_flags.hpp"
#include "commands/weight_flags.hpp"
#include "pipeline/job.hpp"

namespace stepvideo::commands {

struct GenerateFlags {
  Wishes wishes;
  ProvenanceFlags provenance;
  KeepFlags keep;
  OverwriteFlag own;
  PreviewFlags previews;
  VideoFlags video;
  VaeFlags vae;
  WeightFlags weights;
  CompareFlag comparison;
  bool keeps_latents = false;
  std::filesystem::path output;
  std::optional<std::filesystem::path> prompts, like;
  int count = 1;  ///< of videos of one prompt
  CommonOptions common;
  std::vector<bool> drawn = {};  ///< of the jobs, whether chance chose the seed

  bool makes_several() const { return prompts || count > 1; }

  /// Returns false when help was asked for. Throws RequestError naming flags that do not go together.
  bool parse(const Arguments& arguments);
};

/// The file that tells of the run to repeat or to go on with, where the flags name one.
std::optional<std::filesystem::path> base_file(const GenerateFlags& flags);

/// The model that the flags name, or else that of the run to repeat. Throws RequestError where none is.
pipeline::ModelSource model_of(GenerateFlags& flags, const std::optional<io::Json>& base);

/// --like with another model than the one of the manifest: refused where the model was to be the same, said
/// where another was asked for.
void compare_models(const GenerateFlags& flags, bool has_model, const io::Json& mine, const io::Json& base);

/// The jobs, none of them begun, and what a message calls each; everything that can be refused without the
/// model is refused here.
std::vector<pipeline::Job> read_jobs(GenerateFlags& flags, const std::optional<pipeline::Request>& base,
                                     std::vector<std::string>& names);

}  // namespace stepvideo::commands
