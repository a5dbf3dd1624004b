// Prompts become text states: both tokenizers, both encoders.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/precision.hpp"
#include "pipeline/weights.hpp"
#include "place/place.hpp"
#include "progress.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::pipeline {

class PromptEncoder {
 public:
  /// Opens the tokenizers and both encoders of a whole checkpoint and checks every tensor; loads no weights.
  /// Without a folder there is no vocabulary: each byte of a prompt is a token. Throws RequestError naming
  /// what is missing or wrong.
  explicit PromptEncoder(const ModelSource& model);

  /// Channels of the two states.
  index_t llm_width() const { return llm_config_.width(); }
  index_t clip_width() const { return clip_config_.width(); }
  /// The tensors of Step-LLM, the larger of the two, which are never in memory together.
  std::vector<io::ExpectedTensor> llm_tensors() const { return model::expected_tensors(llm_config_); }
  /// Tokens of a prompt at most.
  index_t llm_tokens() const { return 320; }
  index_t clip_tokens() const { return clip_config_.positions; }

  /// What of a prompt, valid UTF-8, is not read, by the encoder's name.
  std::map<std::string, text::CutPrompt> cuts(const std::string& prompt) const;

  /// One conditioning for each list of prompts, one batch element a prompt; each is what it would be alone.
  /// CLIP runs in float32 whatever the precision, as in the release. Weights are loaded for the call, one
  /// encoder at a time. Throws RequestError when a prompt is not UTF-8.
  std::vector<Conditioning> encode(const std::vector<std::vector<std::string>>& batches,
                                   const place::Place& place, Precision precision, Progress& progress) const;

 private:
  std::unique_ptr<text::Tokenizer> llm_tokenizer_, clip_tokenizer_;
  model::StepLlmConfig llm_config_;
  model::ClipTextConfig clip_config_;
  Weights llm_, clip_;
};

}  // namespace stepvideo::pipeline
