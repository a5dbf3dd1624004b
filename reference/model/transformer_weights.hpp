// The video transformer's weights.
#pragma once
#include <string>
#include <vector>

#include <fmt/format.h>

#include "model/config.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

template <class T, Execution E>
struct TransformerBlockWeights {
  /// Queries, keys and values of one head lie together: [q | k | v] x heads, and [k | v] x heads.
  Parameter<T, E> wqkv, wo, cross_wq, cross_wkv, cross_wo;
  Parameter<T, E> query_norm, key_norm, cross_query_norm, cross_key_norm;
  Parameter<T, E> norm1_weight, norm1_bias, norm2_weight, norm2_bias;
  Parameter<T, E> feed_forward_in, feed_forward_out;
  Parameter<float, E> scale_shift_table;  ///< (6, width)

  static TransformerBlockWeights load(const ParameterLoader<E>& from, int layer) {
    const auto read = [&, block = fmt::format("transformer_blocks.{}.", layer)](const char* name) {
      return from.template load<T>(block + name);
    };
    return {.wqkv = read("attn1.wqkv.weight"),
            .wo = read("attn1.wo.weight"),
            .cross_wq = read("attn2.wq.weight"),
            .cross_wkv = read("attn2.wkv.weight"),
            .cross_wo = read("attn2.wo.weight"),
            .query_norm = read("attn1.q_norm.weight"),
            .key_norm = read("attn1.k_norm.weight"),
            .cross_query_norm = read("attn2.q_norm.weight"),
            .cross_key_norm = read("attn2.k_norm.weight"),
            .norm1_weight = read("norm1.weight"),
            .norm1_bias = read("norm1.bias"),
            .norm2_weight = read("norm2.weight"),
            .norm2_bias = read("norm2.bias"),
            .feed_forward_in = read("ff.net.0.proj.weight"),
            .feed_forward_out = read("ff.net.2.weight"),
            .scale_shift_table =
                from.template load<float>(fmt::format("transformer_blocks.{}.scale_shift_table", layer))};
  }
};

/// Everything that turns time into modulations stays float32: a rounded scale or gate would act on every
/// token.
template <class T, Execution E>
struct TransformerWeights {
  BiasedLinear<T, E> patch, caption_in, caption_out, clip, proj_out;
  BiasedLinear<float, E> time_in, time_out, modulation;
  Parameter<float, E> scale_shift_table;  ///< (2, width)
  std::vector<TransformerBlockWeights<T, E>> blocks;

  const TransformerBlockWeights<T, E>& of(int block) const { return blocks[static_cast<std::size_t>(block)]; }

  static TransformerWeights load(const ParameterLoader<E>& from, const TransformerConfig& config) {
    const std::string time = "adaln_single.emb.timestep_embedder.";
    TransformerWeights weights{.patch = BiasedLinear<T, E>::load(from, "pos_embed.proj"),
                               .caption_in = BiasedLinear<T, E>::load(from, "caption_projection.linear_1"),
                               .caption_out = BiasedLinear<T, E>::load(from, "caption_projection.linear_2"),
                               .clip = BiasedLinear<T, E>::load(from, "clip_projection"),
                               .proj_out = BiasedLinear<T, E>::load(from, "proj_out"),
                               .time_in = BiasedLinear<float, E>::load(from, time + "linear_1"),
                               .time_out = BiasedLinear<float, E>::load(from, time + "linear_2"),
                               .modulation = BiasedLinear<float, E>::load(from, "adaln_single.linear"),
                               .scale_shift_table = from.template load<float>("scale_shift_table"),
                               .blocks = {}};
    for (int layer = 0; layer < config.layers; ++layer)
      weights.blocks.push_back(TransformerBlockWeights<T, E>::load(from, layer));
    return weights;
  }
};

}  // namespace stepvideo::model
