// Text encoders at work: one template over the model, behind the interface that commands see.
#pragma once
#include <memory>
#include <utility>

#include <stepvideo/kernels/elementwise/embed.hpp>

#include "model/clip_text.hpp"
#include "model/step_llm.hpp"
#include "pipeline/text_model.hpp"
#include "place/place.hpp"

namespace stepvideo::pipeline {

/// work(ids, states) with both in the memory of the execution; `states`, dense, has its values when this
/// returns.
template <Execution E, class Work>
void with_states_at(E execution, MatrixView<const std::int32_t> ids, TokensView<float> states, Work&& work) {
  if constexpr (std::same_as<E, Host>) {
    work(ids, states);
  } else {
    const Buffer<std::int32_t, E> at_ids(execution, ids.rows * ids.columns);
    for (index_t row = 0; row < ids.rows; ++row)
      upload(execution, ids.row(row),
             VectorView<std::int32_t>{at_ids.data() + row * ids.columns, ids.columns});
    const Buffer<float, E> at_states(execution, states.batch * states.tokens * states.width);
    work(MatrixView<const std::int32_t>(at_ids.matrix(ids.rows, ids.columns)),
         TokensView<float>::dense(at_states.data(), states.batch, states.tokens, states.width));
    download(execution, at_states.vector(), states.data);
  }
}

template <Element T, Execution E>
class PlacedStepLlm final : public TextModel {
 public:
  PlacedStepLlm(const place::Place& place, E execution, const model::StepLlmConfig& config,
                model::WeightSource<E>&& source, std::unique_ptr<model::LlmStore<T, E>> layers = {})
      : place_(place),
        execution_(execution),
        model_(execution, config, std::move(source), {}, std::move(layers)) {}

  index_t width() const override { return model_.config().width(); }
  void encode(MatrixView<const std::int32_t> ids, std::span<const index_t>,
              TokensView<float> states) override {
    require_token_ids(ids, model_.config().vocabulary);
    with_states_at(execution_, ids, states,
                   [&](auto at_ids, auto at_states) { model_.encode(at_ids, at_states); });
  }

 private:
  place::Place place_;  // keeps the GPU open
  E execution_;
  model::StepLlm<T, E> model_;
};

template <Element T, Execution E>
class PlacedClip final : public TextModel {
 public:
  PlacedClip(const place::Place& place, E execution, const model::ClipTextConfig& config,
             model::WeightSource<E>&& source)
      : place_(place), execution_(execution), model_(execution, config, std::move(source)) {}

  index_t width() const override { return model_.config().width(); }
  void encode(MatrixView<const std::int32_t> ids, std::span<const index_t> lengths,
              TokensView<float> states) override {
    require_token_ids(ids, model_.config().vocabulary);
    with_states_at(execution_, ids, states,
                   [&](auto at_ids, auto at_states) { model_.encode(at_ids, lengths, at_states); });
  }

 private:
  place::Place place_;  // keeps the GPU open
  E execution_;
  model::ClipText<T, E> model_;
};

}  // namespace stepvideo::pipeline
