// A text encoder in memory, wherever that is.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include <stepvideo/core/view.hpp>

#include "model/config.hpp"
#include "pipeline/precision.hpp"
#include "pipeline/weights.hpp"
#include "place/place.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// Views lie on the host.
class TextModel {
 public:
  virtual ~TextModel() = default;
  virtual index_t width() const = 0;
  /// states (batch, tokens, width) of ids (batch, tokens), of which each row has the first `lengths` for
  /// real; an encoder that sees no padding leaves them unread. Throws RequestError where shapes disagree or
  /// an id is outside the vocabulary.
  virtual void encode(MatrixView<const std::int32_t> ids, std::span<const index_t> lengths,
                      TokensView<float> states) = 0;
};

/// Each loads the encoder to where the run lives. Throws RequestError as the model's constructor does.
std::unique_ptr<TextModel> load_step_llm(const place::Place& place, Precision precision,
                                         const model::StepLlmConfig& config, const Weights& weights,
                                         Stage& stage);
std::unique_ptr<TextModel> load_clip(const place::Place& place, Precision precision,
                                     const model::ClipTextConfig& config, const Weights& weights,
                                     Stage& stage);

}  // namespace stepvideo::pipeline
