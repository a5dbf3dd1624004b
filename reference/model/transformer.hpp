// Step-Video-T2V's video transformer: one template over the element type and the execution.
#pragma once
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/timestep.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/rope/rope_table.hpp>

#include "model/block_store.hpp"
#include "model/quantization.hpp"
#include "model/tap.hpp"
#include "model/transformer_layout.hpp"
#include "model/transformer_pass.hpp"
#include "model/transformer_ranks.hpp"
#include "model/transformer_text.hpp"
#include "model/transformer_weights.hpp"

namespace stepvideo::model {

/// How a transformer computes what its equations leave open.
struct TransformerNumerics {
  RopeAngles angles = RopeAngles::exact;
  Quantization quantization = {};  ///< none but for a T that has_fp8
};

/// Of one pass.
struct ForwardOptions {
  /// Called, where there is one, each time a block's work has been given to the execution, with the block's
  /// number; what it throws ends the pass.
  std::function<void(int)> between_blocks = {};
  /// How many elements go through a block together (TransformerShare); 0 for all.
  index_t together = 0;
  /// Whether blocks that are told to attend in fp8 do.
  bool attends_in_fp8 = true;
};

/// Predicts the velocity of a latent video. Views lie in the memory of the execution; inputs and outputs are
/// float32, arithmetic in between is T's with float32 sums. An element of a batch gets the bits that it gets
/// alone. A rank of several computes its share of a pass, and every call is one of all ranks together, or of
/// those that work on the same prompts: each gives the whole latents and gets the whole velocity.
template <Element T, Execution E, class Tap = NoTap, Communicator C = OneRank<E>>
class Transformer {
 public:
  using Text = PreparedText<T, E>;

  /// `source` has the tensors that are expected of `config`, and of the blocks' matrices the rank's part
  /// (SharedSource); `blocks` has those matrices, or without it they are read from the source, to stay in
  /// memory. The communicator outlives this. Throws RequestError where the mesh is not for its ranks
  /// or more than the heads go round.
  Transformer(E execution, const TransformerConfig& config, WeightSource<E>&& source, C& communicator,
              Mesh mesh, TransformerNumerics numerics = {}, Tap tap = {},
              std::unique_ptr<BlockStore<T, E>> blocks = {})
      : execution_(execution),
        config_(config),
        numerics_(std::move(numerics)),
        tap_(std::move(tap)),
        ranks_(communicator, mesh, config),
        weights_(TransformerWeights<T, E>::load({execution, source}, config)),
        blocks_(std::move(blocks)) {
    require_fp8_is_served();
    if (blocks_ == nullptr)
      blocks_ = std::make_unique<ResidentLayers<E, BlockSlabs<T, E>>>(
          execution, BlockSlabs<T, E>(config, ranks_.block(), numerics_.quantization), source);
  }

  /// On one rank.
  Transformer(E execution, const TransformerConfig& config, WeightSource<E>&& source,
              TransformerNumerics numerics = {}, Tap tap = {},
              std::unique_ptr<BlockStore<T, E>> blocks = {}) requires std::same_as<C, OneRank<E>>
      : Transformer(execution, config, std::move(source), alone, Mesh{}, std::move(numerics), std::move(tap),
                    std::move(blocks)) {}

  /// On the host. Throws RequestError listing the tensors of `checkpoint` that do not fit `config`.
  Transformer(E execution, const TransformerConfig& config, const io::Checkpoint& checkpoint,
              TransformerNumerics numerics = {},
              Tap tap = {}) requires std::same_as<E, Host> && std::same_as<C, OneRank<E>>
      : Transformer(execution, config, CheckpointSource(checkpoint, expected_tensors(config)),
                    std::move(numerics), std::move(tap)) {}

  const TransformerConfig& config() const { return config_; }
  const Quantization& quantization() const { return numerics_.quantization; }
  StreamedFacts streamed() const { return blocks_->streamed(); }
  /// What the rank has of a pass over `tokens`.
  TransformerShare share(index_t batch, index_t tokens) const { return ranks_.share(batch, tokens); }

  /// What ranks exchange takes of a pass over `tokens`, beside that.
  std::size_t exchange_bytes(index_t batch, index_t tokens) const {
    return ranks_.exchange_bytes(batch, tokens);
  }

  /// The text of a batch, once per prompt: llm (batch, tokens, llm_width), clip (batch, tokens, clip_width),
  /// and for each element the keys it has of [CLIP | LLM], on the host. What blocks make of it stays for the
  /// next step where it takes no more than `spare_bytes`, and is made again where not, with the same bits.
  /// Throws RequestError where they disagree.
  Text prepare_text(TokensView<const float> llm, TokensView<const float> clip,
                    std::span<const index_t> key_lengths, std::size_t spare_bytes = any_number_of_bytes) {
    return model::prepare_text(execution_, config_, ranks_.block(), weights_, llm, clip, key_lengths,
                               spare_bytes, tap_);
  }

  /// velocity = f(latents, times, text): times (batch) in [0, 1). Sizes may change from call to call; buffers
  /// only grow. Throws RequestError where shapes disagree.
  void forward(LatentsView<const float> latents, VectorView<const float> times, Text& text,
               LatentsView<float> velocity, const ForwardOptions& options = {}) {
    require_inputs(latents, times, text, velocity);
    TransformerShare share = this->share(latents.batch, latents.shape.tokens());
    if (options.together > 0) share.together = options.together;
    require(latents.batch % share.together == 0, [&] {
      return fmt::format("{} elements go through a block together, of a batch of {}; a divisor works",
                         share.together, latents.batch);
    });
    const TransformerLayout layout = make_room(share);
    if (!(rope_.shape() == latents.shape))
      rope_ = make_rope_table<T>(execution_, latents.shape, RopeSplit::of_head(config_.heads.dim),
                                 numerics_.angles);
    std::vector<TransformerPass<T, E, Tap, C>> passes;  // of the elements that go through a block together
    for (index_t group = 0; group < layout.groups(); ++group)
      passes.push_back({{.execution = execution_,
                         .config = config_,
                         .quantization = numerics_.quantization,
                         .weights = weights_,
                         .tap = tap_,
                         .ranks = ranks_,
                         .text = text,
                         .rope = ranks_.local(rope_.view()),
                         .scratch = scratch_,
                         .all_tokens = latents.shape.tokens(),
                         .attends_in_fp8 = options.attends_in_fp8,
                         .takes_turns = layout.groups() > 1},
                        layout.template over<T>(memory_.data(), group)});

    modulate(times, passes.front().at().time);
    for (const auto& pass : passes) pass.begin(latents);
    for (int block = 0; block < config_.layers; ++block) {
      const auto matrices = blocks_->acquire(execution_, block);
      for (const auto& pass : passes)
        std::visit([&](const auto& views) { pass.run(block, views); }, matrices);
      blocks_->release(execution_, block);
      if (options.between_blocks) options.between_blocks(block);
    }
    for (const auto& pass : passes) pass.end(velocity);
  }

 private:
  void require_fp8_is_served() const {
    const Quantization& asked = numerics_.quantization;
    require(has_fp8<T> || !(asked.multiplies_anywhere() || asked.attends_anywhere()), [&] {
      return fmt::format("fp8 is for a transformer of bf16, and this one is of {}", element_name<T>);
    });
    require(ranks_.serves_fp8() || !asked.multiplies_anywhere(), [] {
      return "--precision fp8 does not go with tensor above 1, which shares norms; guidance, ulysses and "
             "ring work";
    });
    require(TransformerRanks<T, C>::attends_in_fp8 || !asked.attends_anywhere(),
            [] { return "fp8 attention is for a transformer on one rank; several share attention in bf16"; });
  }

  TransformerLayout make_room(const TransformerShare& share) {
    const TransformerLayout layout(config_, share, sizeof(T), Fp8Parts::of(numerics_.quantization));
    grow(execution_, memory_, layout.bytes());
    return layout;
  }

  void require_inputs(const LatentsView<const float>& latents, const VectorView<const float>& times,
                      const Text& text, const LatentsView<float>& velocity) const {
    require(latents.channels == config_.in_channels && velocity.channels == config_.out_channels &&
                latents.shape == velocity.shape && latents.batch == velocity.batch,
            [&] {
              return fmt::format(
                  "latents have {} channels and the velocity {}; the transformer maps {} to {} and both "
                  "need the same batch, frames, height and width",
                  latents.channels, velocity.channels, config_.in_channels, config_.out_channels);
            });
    require(latents.batch > 0 && latents.shape.tokens() > 0 && latents.batch == times.size &&
                latents.batch == text.batch(),
            [&] {
              return fmt::format(
                  "latents have batch {} and {} tokens, there are {} times and {} prompts; batches must "
                  "agree and nothing may be empty",
                  latents.batch, latents.shape.tokens(), times.size, text.batch());
            });
  }

  /// Every block's shifts, scales and gates, from the time.
  void modulate(VectorView<const float> times, const TransformerTime& at) const {
    const auto layer = [&](TokensView<float> in, const BiasedLinear<float, E>& weights, auto&& epilogue,
                           TokensView<float> out) {
      for (index_t element = 0; element < in.batch; ++element)
        linear(execution_, rows_of(in, element), weights.weight.matrix(),
               chain(Bias<float>{weights.bias.vector()}, epilogue), rows_of(out, element));
    };
    timestep_sinusoids(execution_, times, at.sinusoids.rows());
    layer(at.sinusoids, weights_.time_in, Activate<Silu>{}, at.hidden);
    layer(at.hidden, weights_.time_out, Store{}, at.embedded);
    convert(execution_, TokensView<const float>(at.embedded), at.activated, Silu{});
    layer(at.activated, weights_.modulation, Store{}, at.adaln);  // (batch, 1, 6 x width)
    tap_("adaln_single", at.adaln);
    for (int block = 0; block < config_.layers; ++block)
      add_table(execution_, at.adaln.rows(), weights_.of(block).scale_shift_table.matrix(),
                at.modulations_of(block));
    add_table(execution_, at.embedded.rows(), weights_.scale_shift_table.matrix(),
              at.modulations_of(config_.layers));
  }

  static inline OneRank<E> alone;  // has no state

  E execution_;
  TransformerConfig config_;
  TransformerNumerics numerics_;
  Tap tap_;
  TransformerRanks<T, C> ranks_;
  TransformerWeights<T, E> weights_;
  std::unique_ptr<BlockStore<T, E>> blocks_;
  RopeTable<E> rope_;
  Buffer<std::byte, E> memory_, scratch_;
};

extern template class Transformer<float, Host>;
extern template class Transformer<bf16, Host>;

}  // namespace stepvideo::model
