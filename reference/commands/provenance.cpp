#include "commands/provenance.hpp"

#include <utility>

#include <fmt/format.h>

#include "doctor/probe.hpp"
#include "io/manifest.hpp"
#include "io/model_digest.hpp"
#include "io/path_json.hpp"
#include "pipeline/request.hpp"

namespace stepvideo::commands {
namespace {

void leave_out_times_and_paths(io::Json& manifest) {
  manifest.erase("stages");
  manifest.erase("resumed_after_step");
  manifest.erase("topology");
  if (manifest.contains("model") && manifest["model"].is_object())
    for (const char* const name : {"path", "path_bytes"}) manifest["model"].erase(name);
  if (manifest.contains("sources") && manifest["sources"].is_object())
    for (auto& [name, source] : manifest["sources"].items())
      if (source.is_object()) leave_out_times_and_paths(source);
}

std::optional<io::Json> manifest_of(const io::StoredTensors& stored) {
  const auto entry = stored.metadata().find("manifest");
  return entry == stored.metadata().end() ? std::nullopt : io::parse_manifest(entry->second);
}

void put_source(io::Json& manifest, const std::string& name, std::optional<io::Json> source,
                const ProvenanceFlags& flags) {
  if (!source) return;
  if (flags.is_reproducible) leave_out_times_and_paths(*source);
  manifest["sources"][name] = std::move(*source);
}

}  // namespace

io::Json start_manifest(const std::string& command) {
  return {{"stepvideo", doctor::this_build().version}, {"command", command}};
}

io::Json start_manifest(const std::string& command, const CommonOptions& options,
                        const pipeline::Numerics& numerics, const std::vector<io::Component>& components,
                        const ProvenanceFlags& flags) {
  io::Json manifest = start_manifest(command);
  pipeline::put_numerics(manifest, numerics);
  manifest["device"] = options.place.is_gpu() ? options.place.gpu().name : "cpu";
  if (options.place.is_gpu()) manifest["matmuls"] = options.place.gpu().matmuls;
  for (const io::Component component : components)
    manifest["model"]["components"][std::string(io::component_name(component))] =
        io::component_digest(options.model, component);
  if (!flags.is_reproducible && !options.model.empty())
    io::put_path(manifest["model"], "path", std::filesystem::absolute(options.model).lexically_normal());
  return manifest;
}

void put_prompts(io::Json& manifest, const pipeline::PromptEncoder& encoder,
                 const pipeline::Request& request) {
  pipeline::put_words(manifest, request);
  for (const auto& [name, text] :
       {std::pair{"prompt", request.whole_prompt()}, {"negative", request.negative}}) {
    for (const auto& [reader, cut] : encoder.cuts(text))
      manifest["cut"][name][reader] = {
          {"tokens", cut.tokens}, {"read", cut.read}, {"first_lost", cut.first_lost}};
  }
}

void tell_cut_prompts(const Progress& progress, const io::Json& manifest, const std::string& where) {
  if (!manifest.contains("cut")) return;
  for (const auto& [name, readers] : manifest["cut"].items())
    for (const auto& [reader, cut] : readers.items())
      progress.tell(
          fmt::format("warning: {}--{}: {} reads {} of its {} tokens; {} and what follows is lost to it",
                      where.empty() ? "" : where + ": ", name, reader, cut["read"].get<std::size_t>(),
                      cut["tokens"].get<std::size_t>(), io::in_quotes(cut["first_lost"].get<std::string>())));
}

void put_topology(io::Json& manifest, const plan::Cost& cost, const ProvenanceFlags& flags) {
  if (cost.topology.ranks() > 1 && !flags.is_reproducible) manifest["topology"] = to_string(cost.topology);
}

void add_source(io::Json& manifest, const std::string& name, const std::filesystem::path& file,
                const ProvenanceFlags& flags) {
  const auto stored = io::StoredTensors::open(file);
  manifest[name] = io::tensors_digest(stored);
  put_source(manifest, name, manifest_of(stored), flags);
}

void add_weights(io::Json& manifest, const std::string& name, const std::filesystem::path& path,
                 const io::StoredTensors& stored) {
  manifest[name] = io::weights_digest(path, stored);
  put_source(manifest, name, manifest_of(stored), {});
}

void add_video_source(io::Json& manifest, const std::filesystem::path& file, const ProvenanceFlags& flags) {
  std::error_code unused;
  if (!std::filesystem::is_regular_file(file, unused) && !std::filesystem::is_directory(file, unused))
    return;  // a pipe was read to its end
  put_source(manifest, "video", io::read_manifest(file), flags);
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
