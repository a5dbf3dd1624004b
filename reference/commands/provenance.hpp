// What a command writes about itself into its outputs.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "commands/options.hpp"
#include "io/json.hpp"
#include "io/model_folder.hpp"
#include "io/stored_tensors.hpp"
#include "pipeline/prompt_encoder.hpp"
#include "pipeline/request.hpp"
#include "plan/cost_model.hpp"
#include "progress.hpp"

namespace stepvideo::commands {

/// Declares --reproducible.
struct ProvenanceFlags {
  bool is_reproducible = false;

  void declare(FlagParser& parser) {
    const auto heading = parser.topic("Keeping work");
    parser.toggle("reproducible", is_reproducible,
                  "leave times and paths out of the output's manifest; the same request gives the same file");
  }
};

/// The beginning of every manifest: the program's version and the command.
io::Json start_manifest(const std::string& command);

/// The same of a command that runs a model: with the precision, where it runs, and the model with a digest of
/// each component that the command uses.
io::Json start_manifest(const std::string& command, const CommonOptions& options,
                        const pipeline::Numerics& numerics, const std::vector<io::Component>& components,
                        const ProvenanceFlags& flags);

/// Notes the request's prompts, and what of them is too long to be read.
void put_prompts(io::Json& manifest, const pipeline::PromptEncoder& encoder,
                 const pipeline::Request& request);
/// Warns of that; `where` names the prompt of a batch.
void tell_cut_prompts(const Progress& progress, const io::Json& manifest, const std::string& where = "");

/// Notes on which topology several ranks make it.
void put_topology(io::Json& manifest, const plan::Cost& cost, const ProvenanceFlags& flags);

/// Notes the file that an output is made from: the digest of its tensors under `name`, its manifest, where it
/// has one, among the `sources`.
void add_source(io::Json& manifest, const std::string& name, const std::filesystem::path& file,
                const ProvenanceFlags& flags);

/// Notes weights that a checkpoint is made from: their digest under `name`, their manifest among the
/// `sources` as it is. `path` is what `stored` was opened from.
void add_weights(io::Json& manifest, const std::string& name, const std::filesystem::path& path,
                 const io::StoredTensors& stored);

/// The same as add_source of a video, which has no digest: its manifest alone.
void add_video_source(io::Json& manifest, const std::filesystem::path& file, const ProvenanceFlags& flags);

/// What the stages so far took.
void add_stages(io::Json& manifest, const Progress& progress, const ProvenanceFlags& flags);

/// Gives a video's writer the manifest with what the stages so far took. All three must outlive the result.
std::function<std::string()> manifest_writer(const io::Json& manifest, const Progress& progress,
                                             const ProvenanceFlags& flags);

/// The manifest as a safetensors file's metadata.
std::map<std::string, std::string> as_metadata(const io::Json& manifest);

}  // namespace stepvideo::commands
