// The video transformer's weights but for its blocks' matrices, which a BlockStore has.
#pragma once
#include <string>
#include <vector>

#include "model/config.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

/// The vectors of a block: its norms, and its modulations' table.
template <class T, Execution E>
struct BlockTerms {
  Parameter<T, E> norm1_weight, norm1_bias, norm2_weight, norm2_bias;
  Parameter<T, E> query_norm, key_norm, cross_query_norm, cross_key_norm;
  Parameter<float, E> scale_shift_table;  ///< (6, width)

  static BlockTerms load(const ParameterLoader<E>& from, int block) {
    const auto read = [&](const char* name) { return from.template load<T>(block_name(block) + name); };
    return {.norm1_weight = read("norm1.weight"),
            .norm1_bias = read("norm1.bias"),
            .norm2_weight = read("norm2.weight"),
            .norm2_bias = read("norm2.bias"),
            .query_norm = read("attn1.q_norm.weight"),
            .key_norm = read("attn1.k_norm.weight"),
            .cross_query_norm = read("attn2.q_norm.weight"),
            .cross_key_norm = read("attn2.k_norm.weight"),
            .scale_shift_table = from.template load<float>(block_name(block) + "scale_shift_table")};
  }
};

/// Which of them are float32 says stays_float32(), too.
template <class T, Execution E>
struct TransformerWeights {
  BiasedLinear<T, E, float> patch, proj_out;  // their results are the stream and the velocity
  BiasedLinear<T, E> caption_in, caption_out, clip;
  BiasedLinear<float, E> time_in, time_out, modulation;
  Parameter<float, E> scale_shift_table;  ///< (2, width)
  std::vector<BlockTerms<T, E>> blocks;

  const BlockTerms<T, E>& of(int block) const { return blocks[static_cast<std::size_t>(block)]; }

  static TransformerWeights load(const ParameterLoader<E>& from, const TransformerConfig& config) {
    const std::string time = "adaln_single.emb.timestep_embedder.";
    TransformerWeights weights{.patch = BiasedLinear<T, E, float>::load(from, "pos_embed.proj"),
                               .proj_out = BiasedLinear<T, E, float>::load(from, "proj_out"),
                               .caption_in = BiasedLinear<T, E>::load(from, "caption_projection.linear_1"),
                               .caption_out = BiasedLinear<T, E>::load(from, "caption_projection.linear_2"),
                               .clip = BiasedLinear<T, E>::load(from, "clip_projection"),
                               .time_in = BiasedLinear<float, E>::load(from, time + "linear_1"),
                               .time_out = BiasedLinear<float, E>::load(from, time + "linear_2"),
                               .modulation = BiasedLinear<float, E>::load(from, "adaln_single.linear"),
                               .scale_shift_table = from.template load<float>("scale_shift_table"),
                               .blocks = {}};
    for (int block = 0; block < config.layers; ++block)
      weights.blocks.push_back(BlockTerms<T, E>::load(from, block));
    return weights;
  }
};

}  // namespace stepvideo::model
