// Hunyuan CLIP's text encoder: a BERT, norms after the residual sums.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/layer_norm.hpp>

#include "model/config.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

/// Views lie in the memory of the execution.
template <Element T, Execution E>
class ClipText {
 public:
  /// On the host. Throws RequestError listing the tensors of `checkpoint` that do not fit `config`. Tensors
  /// that nothing here reads (BERT's pooler, its training heads) may be there.
  ClipText(E execution, const ClipTextConfig& config,
           const io::Checkpoint& checkpoint) requires std::same_as<E, Host>
      : ClipText(execution, config, CheckpointSource(checkpoint, expected_tensors(config), true)) {}

  /// `source` has the tensors that are expected of `config`.
  ClipText(E execution, const ClipTextConfig& config, WeightSource<E>&& source)
      : execution_(execution), config_(config) {
    const ParameterLoader<E> from{execution, source};
    const std::string embeddings = "bert.embeddings.";
    words_ = from.template load<T>(embeddings + "word_embeddings.weight");
    positions_ = from.template load<T>(embeddings + "position_embeddings.weight");
    token_types_ = from.template load<T>(embeddings + "token_type_embeddings.weight");
    norm_ = Layer::load(from, embeddings + "LayerNorm");
    blocks_ = load_layers(config.layers, "bert.encoder.layer.", [&](const auto& name_of) {
      const auto read = [&](const char* part) { return Layer::load(from, name_of(part)); };
      return Block{.query = read("attention.self.query"),
                   .key = read("attention.self.key"),
                   .value = read("attention.self.value"),
                   .attention_out = read("attention.output.dense"),
                   .attention_norm = read("attention.output.LayerNorm"),
                   .hidden = read("intermediate.dense"),
                   .out = read("output.dense"),
                   .out_norm = read("output.LayerNorm")};
    });
  }

  const ClipTextConfig& config() const { return config_; }

  /// out (batch, tokens, width) = the last hidden states of ids (batch, tokens). The first lengths[i] tokens
  /// of an element are attended to, the rest is padding, which gets states too. Lengths lie on the host.
  /// Throws RequestError where shapes disagree, a length is not 1 to tokens, or an id is outside the
  /// vocabulary.
  void encode(MatrixView<const std::int32_t> ids, std::span<const index_t> lengths,
              TokensView<float> out) const {
    const index_t batch = ids.rows, tokens = ids.columns, width = config_.width();
    require(std::ssize(lengths) == batch, [&] {
      return fmt::format("there are {} lengths for {} rows of token ids; each row needs one", lengths.size(),
                         batch);
    });
    for (const index_t length : lengths)
      require(length > 0 && length <= tokens, [&] {
        return fmt::format("a row of {} token ids cannot have {} real tokens; 1 to {} work", tokens, length,
                           tokens);
      });
    Buffer<index_t> host_lengths(batch);
    std::copy(lengths.begin(), lengths.end(), host_lengths.begin());
    const auto key_lengths = transfer(execution_, std::move(host_lengths));

    const Buffer<T, E> x_values(execution_, batch * tokens * width),
        y_values(execution_, batch * tokens * width);
    const Buffer<T, E> packed_values(execution_, batch * tokens * 3 * width);
    const Buffer<T, E> hidden_values(execution_, batch * tokens * config_.feed_forward);
    const auto x = TokensView<T>::dense(x_values.data(), batch, tokens, width);
    const auto y = TokensView<T>::dense(y_values.data(), batch, tokens, width);
    const auto hidden = hidden_values.matrix(batch * tokens, config_.feed_forward);
    /// Queries, keys or values: a third of each packed row.
    const auto third = [&](index_t part) {
      return MatrixView<T>{packed_values.data() + part * width, batch * tokens, width, 3 * width};
    };
    const auto heads = [&](MatrixView<T> rows) {
      return HeadsView<T>{rows.data,
                          batch,
                          tokens,
                          config_.heads.count,
                          config_.heads.dim,
                          tokens * rows.row_stride,
                          rows.row_stride,
                          config_.heads.dim};
    };

    embed(execution_, ids, {words_.matrix(), positions_.matrix(), {token_types_.values.data(), width}},
          x);  // token type 0
    normalise(x, norm_);
    for (const Block& block : blocks_) {
      apply(x.rows(), block.query, Store{}, third(0));
      apply(x.rows(), block.key, Store{}, third(1));
      apply(x.rows(), block.value, Store{}, third(2));
      attention(execution_, heads(third(0)), heads(third(1)), heads(third(2)),
                KeyPrefixMask{key_lengths.vector()}, heads(y.rows()), {});
      apply(y.rows(), block.attention_out, Residual<T>{x.rows()}, x.rows());
      normalise(x, block.attention_norm);
      apply(x.rows(), block.hidden, Activate<GeluErf>{}, hidden);
      apply(hidden, block.out, Residual<T>{x.rows()}, x.rows());
      normalise(x, block.out_norm);
    }
    convert(execution_, TokensView<const T>(x), out);
  }

 private:
  using Layer = BiasedLinear<T, E>;  // a norm has a weight and a bias as well

  struct Block {
    Layer query, key, value, attention_out, attention_norm, hidden, out, out_norm;
  };

  template <class Epilogue>
  void apply(MatrixView<T> in, const Layer& layer, const Epilogue& epilogue, MatrixView<T> out) const {
    linear(execution_, in, layer.weight.matrix(), chain(Bias<T>{layer.bias.vector()}, epilogue), out);
  }
  void normalise(TokensView<T> x, const Layer& norm) const {
    layer_norm(execution_, x, {.weight = norm.weight.vector(), .bias = norm.bias.vector()}, config_.epsilon,
               x);
  }

  E execution_;
  ClipTextConfig config_;
  Parameter<T, E> words_, positions_, token_types_;
  Layer norm_;
  std::vector<Block> blocks_;
};

extern template class ClipText<float, Host>;
extern template class ClipText<bf16, Host>;

}  // namespace stepvideo::model
