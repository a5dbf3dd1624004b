// A look at what a model computes on the way, for tests.
#pragma once
#include <functional>
#include <string_view>
#include <variant>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>

namespace stepvideo::model {

/// (batch, tokens, heads, dim), in the memory of the model's execution; one head where there are no heads.
using ObservedView = std::variant<HeadsView<const float>, HeadsView<const bf16>>;

/// Receives each intermediate result under the name of the checkpoint's module that makes it. Empty: nothing
/// is computed for it.
using Observer = std::function<void(std::string_view name, const ObservedView& view)>;

template <class T>
ObservedView observed(const TokensView<T>& view) {
  return HeadsView<const T>{view.data,  view.batch,        view.tokens,       1,
                            view.width, view.batch_stride, view.token_stride, 0};
}

template <class T>
ObservedView observed(const HeadsView<T>& view) {
  return HeadsView<const T>(view);
}

}  // namespace stepvideo::model
