// Step-LLM as a text encoder: a causal transformer with square-root ALiBi instead of rotary embedding, whose
// last hidden states are the text states (no final norm, no head).
#pragma once
#include <concepts>
#include <cstdint>
#include <utility>
#include <vector>

#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>

#include "model/config.hpp"
#include "model/parameter.hpp"
#include "model/tap.hpp"

namespace stepvideo::model {

/// Views lie in the memory of the execution. The residual stream is T's, as in the release.
template <Element T, Execution E, class Tap = NoTap>
class StepLlm {
 public:
  /// On the host. Throws RequestError listing the tensors of `checkpoint` that do not fit `config`.
  StepLlm(E execution, const StepLlmConfig& config, const io::Checkpoint& checkpoint,
          Tap tap = {}) requires std::same_as<E, Host>
      : StepLlm(execution, config, CheckpointSource(checkpoint, expected_tensors(config)), std::move(tap)) {}

  /// `source` has the tensors that are expected of `config`.
  StepLlm(E execution, const StepLlmConfig& config, WeightSource<E>&& source, Tap tap = {})
      : execution_(execution), config_(config), tap_(std::move(tap)) {
    const ParameterLoader<E> from{execution, source};
    words_ = from.template load<T>("tok_embeddings.word_embeddings.weight");
    blocks_ = load_layers(config.layers, "transformer.layers.", [&](const auto& name_of) {
      const auto read = [&](const char* part) { return from.template load<T>(name_of(part) + ".weight"); };
      return Block{.attention_norm = read("attention_norm"),
                   .wqkv = read("attention.wqkv"),
                   .wo = read("attention.wo"),
                   .ffn_norm = read("ffn_norm"),
                   .w1 = read("feed_forward.w1"),
                   .w2 = read("feed_forward.w2")};
    });
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
      const Block& block = blocks_[static_cast<std::size_t>(layer)];
      rms_norm(execution_, x.rows(), block.attention_norm.vector(), config_.epsilon, y.rows());
      linear(execution_, y.rows(), block.wqkv.matrix(), Store{}, packed);
      attention(execution_, queries, keys, values, SqrtAlibiMask{slopes_.vector()},
                HeadsView<T>::dense(y.data, batch, tokens, config_.heads.count, dim), {});
      linear(execution_, y.rows(), block.wo.matrix(), Residual<T>{x.rows()}, x.rows());
      rms_norm(execution_, x.rows(), block.ffn_norm.vector(), config_.epsilon, y.rows());
      linear(execution_, y.rows(), block.w1.matrix(), SwiGlu{}, hidden);
      linear(execution_, hidden, block.w2.matrix(), Residual<T>{x.rows()}, x.rows());
      tap_("transformer.layers.", layer, "", x);
    }
    convert(execution_, TokensView<const T>(x), out);
  }

 private:
  struct Block {
    Parameter<T, E> attention_norm, wqkv, wo, ffn_norm, w1, w2;
  };

  E execution_;
  StepLlmConfig config_;
  Tap tap_;
  Parameter<T, E> words_;
  std::vector<Block> blocks_;
  Buffer<float, E> slopes_;
};

extern template class StepLlm<float, Host>;
extern template class StepLlm<bf16, Host>;

}  // namespace stepvideo::model
