// A model whose runs take no time: 8 heads, two layers, random weights.
#pragma once
#include <random>

#include <nlohmann/json.hpp>

#include "pipeline/conditioning.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

namespace stepvideo::testing {

/// A folder with the configuration of the transformer, and a text of two prompts for it.
struct SmallModel {
  ScratchFolder folder;
  pipeline::Conditioning conditioning;

  SmallModel() {
    folder.write("config.json", nlohmann::json{{"num_attention_heads", 8},
                                               {"attention_head_dim", 16},
                                               {"in_channels", 4},
                                               {"out_channels", 4},
                                               {"num_layers", 2},
                                               {"caption_channels", {24, 20}},
                                               {"attention_type", "parallel"},
                                               {"norm_type", "ada_norm_single"},
                                               {"patch_size", 1}}
                                    .dump());
    std::mt19937 engine(4);
    conditioning.batch = 2;
    conditioning.llm_tokens = 7, conditioning.llm_width = 24;
    conditioning.clip_tokens = 5, conditioning.clip_width = 20;
    conditioning.llm_states = random_normal<float>(2 * 7 * 24, engine);
    conditioning.clip_states = random_normal<float>(2 * 5 * 20, engine);
    conditioning.key_lengths = {12, 9};
  }
};

}  // namespace stepvideo::testing
