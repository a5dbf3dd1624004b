// Step-LLM as a text encoder: a causal transformer with square-root ALiBi instead of rotary embedding, whose
// last hidden states are the text states (no final norm, no head).
#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "model/config.hpp"
#include "model/layer_store.hpp"
#include "model/parameter.hpp"
#include "model/slab.hpp"
#include "model/tap.hpp"

namespace stepvideo::model {

/// What a layer of Step-LLM reads.
template <class T>
struct LlmLayer {
  VectorView<const T> attention_norm, ffn_norm;
  MatrixView<const T> wqkv, wo, w1, w2;  ///< (out, in)
};

/// LayerSlabs of Step-LLM's layers.
template <class T, Execution E>
class LlmSlabs {
 public:
  using Views = LlmLayer<T>;

  explicit LlmSlabs(const StepLlmConfig& config) : layers_(config.layers) {
    const index_t width = config.width(), packed = width + 2 * config.groups * config.heads.dim;
    parts_ = {{{"attention_norm", width, 1},
               {"ffn_norm", width, 1},
               {"attention.wqkv", packed, width},
               {"attention.wo", width, width},
               {"feed_forward.w1", 2 * config.feed_forward, width},
               {"feed_forward.w2", width, config.feed_forward}}};
    for (Part& part : parts_) part.offset = slab_.add(part.rows * part.columns, sizeof(T));
  }

  int layers() const { return layers_; }
  std::size_t bytes(int) const { return slab_.bytes(); }

  Views over(int, std::byte* memory) const {
    const auto data = [&](std::size_t part) { return at_offset<const T>(memory, parts_[part].offset); };
    const auto matrix = [&](std::size_t part) {
      return MatrixView<const T>::dense(data(part), parts_[part].rows, parts_[part].columns);
    };
    return {.attention_norm = {data(0), parts_[0].rows},
            .ffn_norm = {data(1), parts_[1].rows},
            .wqkv = matrix(2),
            .wo = matrix(3),
            .w1 = matrix(4),
            .w2 = matrix(5)};
  }
  void fill(E, WeightSource<E>& source, int layer, std::byte* memory, Buffer<std::byte, E>&) const {
    for (const Part& part : parts_)
      source.read("transformer.layers." + std::to_string(layer) + "." + part.name + ".weight",
                  VectorView<T>{at_offset<T>(memory, part.offset), part.rows * part.columns});
  }

 private:
  struct Part {
    const char* name;
    index_t rows, columns;
    std::size_t offset = 0;
  };

  int layers_;
  Slab slab_;
  std::array<Part, 6> parts_;
};

template <class T, Execution E>
using LlmStore = LayerStore<LlmLayer<T>, E>;

/// Views lie in the memory of the execution. The residual stream is T's, as in the release.
template <Element T, Execution E, class Tap = NoTap>
class StepLlm {
 public:
  /// On the host. Throws RequestError listing the tensors of `checkpoint` that do not fit `config`.
  StepLlm(E execution, const StepLlmConfig& config, const io::Checkpoint& checkpoint,
          Tap tap = {}) requires std::same_as<E, Host>
      : StepLlm(execution, config, CheckpointSource(checkpoint, expected_tensors(config)), std::move(tap)) {}

  /// `source` has the tensors that are expected of `config`; `layers` has those of the layers, or without it
  /// they are read from the source, to stay in memory.
  StepLlm(E execution, const StepLlmConfig& config, WeightSource<E>&& source, Tap tap = {},
          std::unique_ptr<LlmStore<T, E>> layers = {})
      : execution_(execution), config_(config), tap_(std::move(tap)), layers_(std::move(layers)) {
    words_ = ParameterLoader<E>{execution, source}.template load<T>("tok_embeddings.word_embeddings.weight");
    if (layers_ == nullptr)
      layers_ =
          std::make_unique<ResidentLayers<E, LlmSlabs<T, E>>>(execution, LlmSlabs<T, E>(config), source);
    Buffer<float> slopes(config.heads.count);
    for (int head = 0; head < config.heads.count; ++head)
      slopes[head] = alibi_slope(head, config.heads.count);
    slopes_ = transfer(execution, std::move(slopes));
  }

  const StepLlmConfig& config() const { return config_; }

  /// out (batch, tokens, width) = the last hidden states of ids (batch, tokens). Padding attends and is
  /// attended to like any token before it, as in the release. Throws RequestError where shapes disagree or an
  /// id is outside the vocabulary.
  void encode(MatrixView<const std::int32_t> ids, TokensView<float> out) const {
    const index_t batch = ids.rows, tokens = ids.columns, width = config_.width(), dim = config_.heads.dim;
    const index_t packed_width = width + 2 * config_.groups * dim;
    const Buffer<T, E> x_values(execution_, batch * tokens * width),
        y_values(execution_, batch * tokens * width);
    const Buffer<T, E> packed_values(execution_, batch * tokens * packed_width);
    const Buffer<T, E> hidden_values(execution_, batch * tokens * config_.feed_forward);
    const auto x = TokensView<T>::dense(x_values.data(), batch, tokens, width);
    const auto y = TokensView<T>::dense(y_values.data(), batch, tokens, width);
    const auto packed = packed_values.matrix(batch * tokens, packed_width);
    const auto hidden = hidden_values.matrix(batch * tokens, config_.feed_forward);

    // wqkv gives [queries of all heads | (key, value) of each group].
    const auto heads_at = [&](index_t first, index_t heads, index_t stride) {
      return HeadsView<T>{packed.data + first,   batch,        tokens, heads, dim,
                          tokens * packed_width, packed_width, stride};
    };
    const auto queries = heads_at(0, config_.heads.count, dim);
    const auto keys = heads_at(width, config_.groups, 2 * dim),
               values = heads_at(width + dim, config_.groups, 2 * dim);

    embed(execution_, ids, {.words = words_.matrix()}, x);
    for (int layer = 0; layer < config_.layers; ++layer) {
      const LlmLayer<T> weights = layers_->acquire(execution_, layer);
      rms_norm(execution_, x.rows(), weights.attention_norm, config_.epsilon, y.rows());
      linear(execution_, y.rows(), weights.wqkv, Store{}, packed);
      attention(execution_, queries, keys, values, SqrtAlibiMask{slopes_.vector()},
                HeadsView<T>::dense(y.data, batch, tokens, config_.heads.count, dim), {});
      linear(execution_, y.rows(), weights.wo, Residual<T>{x.rows()}, x.rows());
      rms_norm(execution_, x.rows(), weights.ffn_norm, config_.epsilon, y.rows());
      linear(execution_, y.rows(), weights.w1, SwiGlu{}, hidden);
      linear(execution_, hidden, weights.w2, Residual<T>{x.rows()}, x.rows());
      layers_->release(execution_, layer);
      tap_("transformer.layers.", layer, "", x);
    }
    convert(execution_, TokensView<const T>(x), out);
  }

 private:
  E execution_;
  StepLlmConfig config_;
  Tap tap_;
  Parameter<T, E> words_;
  std::unique_ptr<LlmStore<T, E>> layers_;
  Buffer<float, E> slopes_;
};

extern template class StepLlm<float, Host>;
extern template class StepLlm<bf16, Host>;

}  // namespace stepvideo::model
