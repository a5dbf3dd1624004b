// The tensors that each component's checkpoint holds.
#include <string>

#include <fmt/format.h>

#include "model/config.hpp"

namespace stepvideo::model {
namespace {

class TensorList {
 public:
  void add(const std::string& name, io::Shape shape) { tensors_.push_back({name, std::move(shape)}); }
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in});
  }
  void add_linear_with_bias(const std::string& name, std::int64_t out, std::int64_t in) {
    add_linear(name, out, in);
    add(name + ".bias", {out});
  }
  void add_norm(const std::string& name, std::int64_t width) { add(name + ".weight", {width}); }
  void add_norm_with_bias(const std::string& name, std::int64_t width) {
    add_norm(name, width);
    add(name + ".bias", {width});
  }
  std::vector<io::ExpectedTensor> take() { return std::move(tensors_); }

 private:
  std::vector<io::ExpectedTensor> tensors_;
};

}  // namespace

std::string block_name(int block) {
  return fmt::format("transformer_blocks.{}.", block);
}

bool stays_float32(const std::string& name) {
  return name.starts_with("adaln_single.") || name.ends_with("scale_shift_table") ||
         name == "pos_embed.proj.bias" || name == "proj_out.bias";
}

std::vector<io::ExpectedTensor> expected_tensors(const TransformerConfig& config) {
  const int width = config.width(), hidden = config.feed_forward_factor * width;
  TensorList list;
  list.add("pos_embed.proj.weight", {width, config.in_channels, 1, 1});
  list.add("pos_embed.proj.bias", {width});
  list.add_linear_with_bias("adaln_single.emb.timestep_embedder.linear_1", width, config.time_channels);
  list.add_linear_with_bias("adaln_single.emb.timestep_embedder.linear_2", width, width);
  list.add_linear_with_bias("adaln_single.linear", 6 * width, width);
  list.add_linear_with_bias("caption_projection.linear_1", width, config.llm_width);
  list.add_linear_with_bias("caption_projection.linear_2", width, width);
  list.add_linear_with_bias("clip_projection", width, config.clip_width);
  for (int layer = 0; layer < config.layers; ++layer) {
    const auto block = block_name(layer);
    list.add(block + "scale_shift_table", {6, width});
    list.add_norm_with_bias(block + "norm1", width);
    list.add_linear(block + "attn1.wqkv", 3 * width, width);
    list.add_linear(block + "attn1.wo", width, width);
    list.add_linear(block + "attn2.wq", width, width);
    list.add_linear(block + "attn2.wkv", 2 * width, width);
    list.add_linear(block + "attn2.wo", width, width);
    for (const char* norm : {"attn1.q_norm", "attn1.k_norm", "attn2.q_norm", "attn2.k_norm"})
      list.add_norm(block + norm, config.heads.dim);
    list.add_norm_with_bias(block + "norm2", width);
    list.add_linear(block + "ff.net.0.proj", hidden, width);
    list.add_linear(block + "ff.net.2", width, hidden);
  }
  list.add("scale_shift_table", {2, width});
  list.add_linear_with_bias("proj_out", config.out_channels, width);
  return list.take();
}

std::vector<io::ExpectedTensor> expected_tensors(const StepLlmConfig& config) {
  const int width = config.width();
  TensorList list;
  list.add_linear("tok_embeddings.word_embeddings", config.vocabulary, width);
  for (int layer = 0; layer < config.layers; ++layer) {
    const auto block = fmt::format("transformer.layers.{}.", layer);
    list.add_norm(block + "attention_norm", width);
    list.add_linear(block + "attention.wqkv", width + 2 * config.groups * config.heads.dim, width);
    list.add_linear(block + "attention.wo", width, width);
    list.add_norm(block + "ffn_norm", width);
    list.add_linear(block + "feed_forward.w1", 2 * config.feed_forward, width);
    list.add_linear(block + "feed_forward.w2", width, config.feed_forward);
  }
  return list.take();
}

std::vector<io::ExpectedTensor> expected_tensors(const ClipTextConfig& config) {
  const int width = config.width();
  TensorList list;
  list.add_linear("bert.embeddings.word_embeddings", config.vocabulary, width);
  list.add_linear("bert.embeddings.position_embeddings", config.positions, width);
  list.add_linear("bert.embeddings.token_type_embeddings", 2, width);
  list.add_norm_with_bias("bert.embeddings.LayerNorm", width);
  for (int layer = 0; layer < config.layers; ++layer) {
    const auto block = fmt::format("bert.encoder.layer.{}.", layer);
    for (const char* part : {"query", "key", "value"})
      list.add_linear_with_bias(block + "attention.self." + part, width, width);
    list.add_linear_with_bias(block + "attention.output.dense", width, width);
    list.add_norm_with_bias(block + "attention.output.LayerNorm", width);
    list.add_linear_with_bias(block + "intermediate.dense", config.feed_forward, width);
    list.add_linear_with_bias(block + "output.dense", width, config.feed_forward);
    list.add_norm_with_bias(block + "output.LayerNorm", width);
  }
  return list.take();
}

}  // namespace stepvideo::model
