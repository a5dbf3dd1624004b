// What a component's config.json says about its shape.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>

#include "io/checkpoint.hpp"

namespace stepvideo::model {

/// The video transformer. The defaults are the release's.
struct TransformerConfig {
  HeadShape heads{.count = 48, .dim = 128};
  int layers = 48;
  int in_channels = 64, out_channels = 64;
  int llm_width = 6144, clip_width = 1024;

  static constexpr int time_channels = 256;
  static constexpr int feed_forward_factor = 4;
  int width() const { return heads.width(); }
};

/// Step-LLM, the text encoder for long prompts. `feed_forward` is already rounded up to a multiple of 256.
struct StepLlmConfig {
  HeadShape heads{.count = 48, .dim = 128};
  int groups = 8;
  int layers = 48;
  int feed_forward = 16896;
  int vocabulary = 65536;
  float epsilon = 1e-5f;

  int width() const { return heads.width(); }
};

/// Hunyuan CLIP's text encoder, a BERT.
struct ClipTextConfig {
  HeadShape heads{.count = 16, .dim = 64};
  int layers = 24;
  int feed_forward = 4096;
  int vocabulary = 47020;
  int positions = 77;
  float epsilon = 1e-12f;

  int width() const { return heads.width(); }
};

/// Each reads `path`, a config.json. Throws RequestError naming file and field: missing, of another kind, not
/// positive, or in disagreement with another field.
TransformerConfig read_transformer_config(const std::filesystem::path& path);
StepLlmConfig read_step_llm_config(const std::filesystem::path& path);
ClipTextConfig read_clip_text_config(const std::filesystem::path& path);

/// "transformer_blocks.N.", which the names of a block's tensors begin with.
std::string block_name(int block);

/// Whether a transformer of any precision keeps the tensor in float32: everything that turns time into
/// modulations, since a rounded scale or gate would act on every token, and the biases of float32 results.
bool stays_float32(const std::string& name);

/// The tensors of the component's checkpoint, names and shapes.
std::vector<io::ExpectedTensor> expected_tensors(const TransformerConfig& config);
std::vector<io::ExpectedTensor> expected_tensors(const StepLlmConfig& config);
/// Without BERT's pooler, which nothing reads and files may hold.
std::vector<io::ExpectedTensor> expected_tensors(const ClipTextConfig& config);

}  // namespace stepvideo::model
