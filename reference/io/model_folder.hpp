// Where the parts of a model lie: the whole checkpoint folder, or the folder of the one component that a
// command needs.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <stepvideo/core/shape.hpp>

namespace stepvideo::io {

enum class Component { transformer, step_llm, clip_text_encoder, vae, step_llm_tokenizer, clip_tokenizer };

/// What the component is called: "transformer", "vae", ...
std::string_view component_name(Component component);

/// The folder (transformer, step_llm, clip_text_encoder) or file (vae_v2.safetensors,
/// the tokenizers' step1_chat_tokenizer.model and vocab.txt) of a component. `model` is the whole checkpoint
/// folder, the component's own folder, or, where the result is a file, that file. Throws RequestError naming
/// --model and what was looked for.
std::filesystem::path find_component(const std::filesystem::path& model, Component component);

/// Throws RequestError naming the file and the field when the folder's scheduler/scheduler_config.json asks
/// for a sampler that is not this program's: anything but Euler steps from noise to video.
void require_known_scheduler(const std::filesystem::path& model);

/// What `generate` uses where the command line is silent: the release's.
struct GenerationDefaults {
  int frames = 204, height = 544, width = 992;
  int steps = 50;
  double cfg_scale = 9, time_shift = 13;
  /// Appended to every prompt, and what no video should show. The release's own are not known here: its
  /// program has them, its checkpoint does not.
  std::string prompt_suffix = {}, negative = {};
  /// The sizes that the model was trained on, where it states them: "trained", a list of [frames, height,
  /// width].
  std::vector<VideoShape> trained = {};

  bool operator==(const GenerationDefaults&) const = default;
};

/// The "generation" object of the folder's model_index.json; what it leaves out, or a folder without the
/// file, or no folder, is the release's. Throws RequestError naming the file and field when a value is of the
/// wrong kind.
GenerationDefaults read_generation_defaults(const std::filesystem::path& model);

}  // namespace stepvideo::io
