#include "pipeline/prompt_encoder.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "io/model_folder.hpp"
#include "pipeline/text_model.hpp"

namespace stepvideo::pipeline {
namespace {

using io::Component, io::find_component;

/// Token sequences as a matrix (prompts, tokens), and the real tokens of each.
struct TokenBatch {
  Buffer<text::TokenId> ids;
  index_t rows = 0, columns = 0, row_stride = 0;
  std::vector<index_t> lengths;

  TokenBatch(const text::Tokenizer& tokenizer, const std::vector<std::string>& prompts, std::size_t length) {
    for (const std::string& prompt : prompts) {
      const auto sequence = tokenizer.sequence(prompt, rows == 0 ? "--prompt" : "--negative", length);
      if (rows == 0) {
        columns = row_stride = std::ssize(sequence.ids);
        ids = Buffer<text::TokenId>(std::ssize(prompts) * row_stride);
      }
      std::ranges::copy(sequence.ids, ids.begin() + rows++ * row_stride);
      lengths.push_back(std::accumulate(sequence.mask.begin(), sequence.mask.end(), index_t{0}));
    }
  }
  /// Without the columns that are padding in every row.
  void drop_padding() { columns = std::ranges::max(lengths); }

  MatrixView<const text::TokenId> view() const { return {ids.data(), rows, columns, row_stride}; }
  TokensView<float> states(const Buffer<float>& values) const {
    return TokensView<float>::dense(values.data(), rows, columns, values.size() / (rows * columns));
  }
};

}  // namespace

PromptEncoder::PromptEncoder(const ModelSource& model)
    : llm_tokenizer_(model.folder.empty() ? text::make_byte_tokenizer(text::llm_frame)
                                          : text::open_sentencepiece_tokenizer(
                                                find_component(model.folder, Component::step_llm_tokenizer))),
      clip_tokenizer_(model.folder.empty() ? text::make_byte_tokenizer(text::clip_frame)
                                           : text::open_wordpiece_tokenizer(
                                                 find_component(model.folder, Component::clip_tokenizer))),
      llm_config_(model.config(Component::step_llm, model::read_step_llm_config)),
      clip_config_(model.config(Component::clip_text_encoder, model::read_clip_text_config)),
      llm_(Weights::open(model, Component::step_llm, model::expected_tensors(llm_config_))),
      // The pooler may be there; nothing reads it.
      clip_(Weights::open(model, Component::clip_text_encoder, model::expected_tensors(clip_config_), true)) {
}

std::map<std::string, text::CutPrompt> PromptEncoder::cuts(const std::string& prompt) const {
  std::map<std::string, text::CutPrompt> cuts;
  if (auto cut = llm_tokenizer_->cut(prompt)) cuts["Step-LLM"] = std::move(*cut);
  if (auto cut = clip_tokenizer_->cut(prompt, static_cast<std::size_t>(clip_config_.positions)))
    cuts["CLIP"] = std::move(*cut);
  return cuts;
}

std::vector<Conditioning> PromptEncoder::encode(const std::vector<std::vector<std::string>>& batches,
                                                const place::Place& place, Precision precision,
                                                Progress& progress) const {
  std::vector<TokenBatch> llm, clip;
  std::vector<Conditioning> conditionings;
  for (const auto& prompts : batches) {
    const TokenBatch& words = llm.emplace_back(*llm_tokenizer_, prompts, 0);
    // Step-LLM is causal and its padding comes last: real tokens never see it, and nobody attends to it
    // later.
    llm.back().drop_padding();
    const TokenBatch& pieces =
        clip.emplace_back(*clip_tokenizer_, prompts, static_cast<std::size_t>(clip_config_.positions));
    conditionings.push_back({.batch = words.rows,
                             .llm_tokens = words.columns,
                             .llm_width = llm_width(),
                             .clip_tokens = pieces.columns,
                             .clip_width = clip_width(),
                             .llm_states = Buffer<float>(words.rows * words.columns * llm_width()),
                             .clip_states = Buffer<float>(pieces.rows * pieces.columns * clip_width()),
                             .key_lengths = {}});
    for (const index_t length : words.lengths)
      conditionings.back().key_lengths.push_back(pieces.columns + length);
  }
  const int steps = batches.size() > 1 ? static_cast<int>(batches.size()) : 0;
  const auto each = [&](Stage& stage, auto&& encode) {
    for (std::size_t i = 0; i < batches.size(); ++i) {
      encode(i);
      if (steps > 0) stage.step();
    }
  };
  {
    const auto encoder = progress.stage("load Step-LLM", 0, [&](Stage& stage) {
      stage.moved(llm_.files.bytes());
      return load_step_llm(place, precision, llm_config_, llm_, stage);
    });
    progress.stage("encode text (Step-LLM)", steps, [&](Stage& stage) {
      each(stage, [&](std::size_t i) {
        encoder->encode(llm[i].view(), llm[i].lengths, llm[i].states(conditionings[i].llm_states));
      });
    });
  }
  const auto encoder = progress.stage("load CLIP", 0, [&](Stage& stage) {
    stage.moved(clip_.files.bytes());
    return load_clip(place, Precision::fp32, clip_config_, clip_, stage);
  });
  progress.stage("encode text (CLIP)", steps, [&](Stage& stage) {
    each(stage, [&](std::size_t i) {
      encoder->encode(clip[i].view(), clip[i].lengths, clip[i].states(conditionings[i].clip_states));
    });
  });
  return conditionings;
}

}  // namespace stepvideo::pipeline
