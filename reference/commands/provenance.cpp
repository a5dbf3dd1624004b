#include "commands/provenance.hpp"

#include <utility>

#include "doctor/probe.hpp"
#include "io/manifest.hpp"
#include "io/model_digest.hpp"
#include "pipeline/request.hpp"

namespace stepvideo::commands {
namespace {

void leave_out_times_and_paths(io::Json& manifest) {
  manifest.erase("stages");
  manifest.erase("resumed_after_step");
  if (manifest.contains("model") && manifest["model"].is_object()) manifest["model"].erase("path");
  if (manifest.contains("sources") && manifest["sources"].is_object())
    for (auto& [name, source] : manifest["sources"].items())
      if (source.is_object()) leave_out_times_and_paths(source);
}

void add_manifest_of(io::Json& manifest, const std::string& name, const std::filesystem::path& file,
                     const ProvenanceFlags& flags) {
  auto source = io::read_manifest(file);
  if (!source) return;
  if (flags.is_reproducible) leave_out_times_and_paths(*source);
  manifest["sources"][name] = std::move(*source);
}

}  // namespace

io::Json start_manifest(const std::string& command, const std::filesystem::path& model, Precision precision,
                        const std::vector<io::Component>& components, const ProvenanceFlags& flags) {
  io::Json manifest{{"stepvideo", doctor::this_build().version},
                    {"command", command},
                    {"precision", to_string(precision)},
                    {"device", "cpu"}};
  for (const io::Component component : components)
    manifest["model"]["components"][std::string(io::component_name(component))] =
        io::component_digest(model, component);
  if (!flags.is_reproducible)
    manifest["model"]["path"] = std::filesystem::absolute(model).lexically_normal().string();
  return manifest;
}

void add_source(io::Json& manifest, const std::string& name, const std::filesystem::path& file,
                const ProvenanceFlags& flags) {
  manifest[name] = io::tensors_digest(file);
  add_manifest_of(manifest, name, file, flags);
}

void add_video_source(io::Json& manifest, const std::filesystem::path& file, const ProvenanceFlags& flags) {
  add_manifest_of(manifest, "video", file, flags);
}

void add_stages(io::Json& manifest, const Progress& progress, const ProvenanceFlags& flags) {
  if (!flags.is_reproducible) pipeline::add_stages(manifest, progress, 0);
}

std::function<std::string()> manifest_writer(const io::Json& manifest, const Progress& progress,
                                             const ProvenanceFlags& flags) {
  return [&] {
    io::Json complete = manifest;
    add_stages(complete, progress, flags);
    return io::manifest_text(complete);
  };
}

std::map<std::string, std::string> as_metadata(const io::Json& manifest) {
  return {{"manifest", io::manifest_text(manifest)}};
}

}  // namespace stepvideo::commands
