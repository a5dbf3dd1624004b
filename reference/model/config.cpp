#include "model/config.hpp"

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"

namespace stepvideo::model {
namespace {

using Path = std::filesystem::path;

// Far above any model, and small enough that widths and lists of tensors stay in range.
constexpr int largest_width = 1 << 17, most_layers = 1 << 12;

int positive(const io::Json& json, const Path& path, const char* name, int largest = largest_width) {
  const int value = io::field<int>(json, path, name);
  require(value > 0 && value <= largest, [&] {
    return fmt::format("{}: field \"{}\" is {}; 1 to {} works", path.string(), name, value, largest);
  });
  return value;
}

/// hidden_size and num_attention_heads, as BERT and Step-LLM write them.
HeadShape heads_of_width(const io::Json& json, const Path& path) {
  const int width = positive(json, path, "hidden_size"), count = positive(json, path, "num_attention_heads");
  require(width % count == 0, [&] {
    return fmt::format("{}: \"hidden_size\" {} does not divide into \"num_attention_heads\" {}",
                       path.string(), width, count);
  });
  return {.count = count, .dim = width / count};
}

float epsilon(const io::Json& json, const Path& path, const char* name) {
  const double value = io::field<double>(json, path, name);
  require(value > 0 && value < 1, [&] {
    return fmt::format("{}: field \"{}\" is {}; it must lie between 0 and 1", path.string(), name, value);
  });
  return static_cast<float>(value);
}

/// A field that may be left out, and that asks for what is not here where it says anything else.
template <class Value>
void require_absent_or(const io::Json& json, const Path& path, const char* name, const Value& only) {
  const auto value = io::field_or<Value>(json, path, name, only);
  require(value == only, [&] {
    return fmt::format("{}: field \"{}\" is {}; only {} is supported", path.string(), name,
                       io::excerpt(json.at(name)), io::Json(only).dump());
  });
}

/// Weights that mean something only with what an integer or 4-bit format keeps beside them.
void require_plain_weights(const io::Json& json, const Path& path) {
  require(!json.contains("quantization_config") || json.at("quantization_config").is_null(), [&] {
    return fmt::format(
        "{}: field \"quantization_config\" is {}; weights that are not quantised work, and convert "
        "--dtype fp8 makes fp8 of them",
        path.string(), io::excerpt(json.at("quantization_config")));
  });
}

}  // namespace

TransformerConfig read_transformer_config(const Path& path) {
  const auto json = io::read_json(path);
  TransformerConfig config;
  config.heads = {.count = positive(json, path, "num_attention_heads"),
                  .dim = positive(json, path, "attention_head_dim")};
  require(config.heads.count <= largest_width / config.heads.dim, [&] {
    return fmt::format(
        "{}: \"num_attention_heads\" {} times \"attention_head_dim\" {} is the width; at most {} works",
        path.string(), config.heads.count, config.heads.dim, largest_width);
  });
  config.layers = positive(json, path, "num_layers", most_layers);
  config.in_channels = positive(json, path, "in_channels");
  config.out_channels = positive(json, path, "out_channels");
  const auto caption = io::field<std::vector<int>>(json, path, "caption_channels");
  require(caption.size() == 2 && caption[0] > 0 && caption[1] > 0, [&] {
    return fmt::format(
        "{}: field \"caption_channels\" has {} entries; it must be the LLM's and CLIP's widths, two "
        "numbers above 0",
        path.string(), caption.size());
  });
  config.llm_width = caption[0];
  config.clip_width = caption[1];
  require(io::field_or<int>(json, path, "patch_size", 1) == 1, [&] {
    return fmt::format("{}: field \"patch_size\" is {}; only 1 is supported", path.string(),
                       json.at("patch_size").dump());
  });
  require_absent_or(json, path, "use_additional_conditions", false);
  require_absent_or(json, path, "norm_elementwise_affine", false);
  require_absent_or<std::string>(json, path, "norm_type", "ada_norm_single");
  require_absent_or(json, path, "norm_eps", 1e-6);
  require_plain_weights(json, path);
  require(config.heads.dim % 8 == 0, [&] {
    return fmt::format("{}: field \"attention_head_dim\" is {}; rotary embedding needs a multiple of 8",
                       path.string(), config.heads.dim);
  });
  return config;
}

StepLlmConfig read_step_llm_config(const Path& path) {
  const auto json = io::read_json(path);
  StepLlmConfig config;
  config.heads = heads_of_width(json, path);
  config.groups = positive(json, path, "num_attention_groups");
  config.layers = positive(json, path, "num_layers", most_layers);
  config.vocabulary = positive(json, path, "padded_vocab_size");
  config.epsilon = epsilon(json, path, "layernorm_epsilon");
  constexpr int multiple = 256;
  config.feed_forward = (positive(json, path, "ffn_hidden_size") + multiple - 1) / multiple * multiple;
  require_plain_weights(json, path);
  require(config.heads.count % config.groups == 0, [&] {
    return fmt::format("{}: \"num_attention_heads\" {} does not divide into \"num_attention_groups\" {}",
                       path.string(), config.heads.count, config.groups);
  });
  return config;
}

ClipTextConfig read_clip_text_config(const Path& path) {
  const auto json = io::read_json(path);
  ClipTextConfig config;
  config.heads = heads_of_width(json, path);
  config.layers = positive(json, path, "num_hidden_layers", most_layers);
  config.feed_forward = positive(json, path, "intermediate_size");
  config.vocabulary = positive(json, path, "vocab_size");
  config.positions = positive(json, path, "max_position_embeddings");
  config.epsilon = epsilon(json, path, "layer_norm_eps");
  require_absent_or<std::string>(json, path, "hidden_act", "gelu");
  require_absent_or<std::string>(json, path, "position_embedding_type", "absolute");
  require_plain_weights(json, path);
  return config;
}

}  // namespace stepvideo::model
