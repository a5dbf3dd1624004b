// What the prompt becomes: the text states that the transformer attends to.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <stepvideo/core/buffer.hpp>

#include "io/checkpoint.hpp"

namespace stepvideo::pipeline {

/// Text states of a batch; a guided run holds the prompt, then the negative prompt.
struct Conditioning {
  index_t batch = 0;
  index_t llm_tokens = 0, llm_width = 0;
  index_t clip_tokens = 0, clip_width = 0;
  Buffer<float> llm_states;          ///< (batch, llm_tokens, llm_width): `encoder_hidden_states`
  Buffer<float> clip_states;         ///< (batch, clip_tokens, clip_width): `encoder_hidden_states_2`
  std::vector<index_t> key_lengths;  ///< keys of each element: all CLIP tokens, then the real LLM tokens

  Conditioning copy() const;

  /// (batch, clip_tokens + llm_tokens): 1 at keys that are attended to, 0 behind them.
  Buffer<float> mask() const;

  TokensView<const float> llm() const {
    return TokensView<const float>::dense(llm_states.data(), batch, llm_tokens, llm_width);
  }
  TokensView<const float> clip() const {
    return TokensView<const float>::dense(clip_states.data(), batch, clip_tokens, clip_width);
  }
};

/// How many ones each row of the mask `name`, (batch, tokens), begins with. Throws RequestError naming the
/// tensor when a row is not ones followed by zeros, or has no one.
std::vector<index_t> read_prefix_lengths(const io::Checkpoint& file, const std::string& name);

/// Reads `encoder_hidden_states`, `encoder_hidden_states_2` and `encoder_attention_mask` of a safetensors
/// file. Throws RequestError naming the tensor: missing, of the wrong rank, of disagreeing extents, NaN, or a
/// mask that is not a prefix of ones.
Conditioning read_conditioning(const std::filesystem::path& path);

/// The same three tensors, as float32; both arguments must outlive the result.
std::vector<io::NamedTensor> named_tensors(const Conditioning& conditioning, const Buffer<float>& mask);

/// Writes the same three tensors, as float32.
void write_conditioning(const std::filesystem::path& path, const Conditioning& conditioning,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace stepvideo::pipeline
