#include "io/model_folder.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

/// How a component is recognised.
struct Layout {
  std::string_view name;
  /// Where it lies in the whole checkpoint's folder.
  std::vector<std::string> places;
  /// The file that is looked for: the result where is_file, else it (or a safetensors file) marks the folder.
  std::string file;
  bool is_file = false;
};

const Layout& layout(Component component) {
  static const std::vector<Layout> layouts{
      {"transformer", {"transformer"}, "config.json"},
      {"step_llm", {"step_llm"}, "config.json"},
      {"clip_text_encoder", {"hunyuan_clip/clip_text_encoder", "clip_text_encoder"}, "config.json"},
      {"vae", {"vae"}, "vae_v2.safetensors", true},
      {"step_llm_tokenizer", {"step_llm"}, "step1_chat_tokenizer.model", true},
      {"clip_tokenizer", {"hunyuan_clip/tokenizer", "tokenizer"}, "vocab.txt", true}};
  return layouts[static_cast<std::size_t>(component)];
}

bool is_there(const fs::path& path) {
  std::error_code unused;
  return fs::exists(path, unused);
}

/// Whether the folder is a whole checkpoint: then a config.json beside its components is not a component's.
bool is_whole_model(const fs::path& folder) {
  return is_there(folder / "model_index.json");
}

}  // namespace

std::string_view component_name(Component component) {
  return layout(component).name;
}

fs::path find_component(const fs::path& model, Component component) {
  const Layout& due = layout(component);
  const std::vector<std::string>& places = due.places;
  const std::string& file = due.file;
  require(is_there(model), [&] {
    return fmt::format("--model: {} is not there; a checkpoint folder with {}/{} was looked for",
                       model.string(), places.front(), file);
  });
  std::error_code unused;
  if (!fs::is_directory(model, unused)) {
    require(due.is_file, [&] {
      return fmt::format("--model: {} is a file; the checkpoint's folder or that of its {} works",
                         model.string(), due.name);
    });
    return model;
  }
  for (const auto& place : places)
    if (is_there(model / place / file)) return due.is_file ? model / place / file : model / place;
  if (is_there(model / file) && (due.is_file || !is_whole_model(model)))
    return due.is_file ? model / file : model;
  throw RequestError(fmt::format("--model: {} holds no {}; looked for {}/{} and {} in it", model.string(),
                                 due.name, fmt::join(places, fmt::format("/{}, ", file)), file, file));
}

void require_known_scheduler(const fs::path& model) {
  const fs::path path = model / "scheduler" / "scheduler_config.json";
  if (model.empty() || !is_there(path)) return;
  const Json config = read_json(path);
  const bool is_reversed = field_or(config, path, "reverse", false);
  const auto solver = field_or<std::string>(config, path, "solver", "euler");
  require(!is_reversed && solver == "euler", [&] {
    return fmt::format(
        "{} asks for reverse {} and solver {}; reverse false and solver \"euler\" can be sampled",
        path.string(), is_reversed, in_quotes(solver));
  });
}

GenerationDefaults read_generation_defaults(const fs::path& model) {
  GenerationDefaults defaults;
  const fs::path path = model / "model_index.json";
  if (model.empty() || !is_there(path)) return defaults;
  const auto generation = field_or<Json>(read_json(path), path, "generation", Json::object());
  const auto read = [&](const char* name, auto& value) { value = field_or(generation, path, name, value); };
  read("frames", defaults.frames);
  read("height", defaults.height);
  read("width", defaults.width);
  read("steps", defaults.steps);
  read("cfg_scale", defaults.cfg_scale);
  read("time_shift", defaults.time_shift);
  read("prompt_suffix", defaults.prompt_suffix);
  read("negative", defaults.negative);
  for (const auto& size : field_or(generation, path, "trained", std::vector<std::vector<int>>())) {
    require(size.size() == 3, [&] {
      return fmt::format("{}: trained holds {} numbers; [frames, height, width] of each size works",
                         path.string(), size.size());
    });
    defaults.trained.push_back({size[0], size[1], size[2]});
  }
  return defaults;
}

}  // namespace stepvideo::io
