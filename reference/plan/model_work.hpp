// What the model is and what it costs, counted from its shapes: parameters, operations, memory traffic. No
// hardware here.
#pragma once
#include <filesystem>

#include <stepvideo/core/shape.hpp>

#include "model/config.hpp"
#include "model/vae_config.hpp"
#include "model/vae_memory.hpp"

namespace stepvideo::plan {

/// The configurations of a whole checkpoint; the defaults are the release's.
struct ModelShapes {
  model::TransformerConfig transformer = {};
  model::StepLlmConfig step_llm = {};
  model::ClipTextConfig clip = {};
  model::VaeConfig vae = model::VaeConfig::release();
  int llm_tokens = 320;  ///< a prompt is padded to so many

  /// The keys that cross-attention sees at most.
  int text_tokens() const { return clip.positions + llm_tokens; }

  /// Read from a checkpoint folder: configurations and the VAE's tensor shapes, no weights. Throws
  /// RequestError naming what is missing or wrong.
  static ModelShapes of(const std::filesystem::path& model);
};

/// Weights and biases of each component.
struct ParameterCounts {
  double transformer = 0;
  double transformer_blocks = 0;   ///< the share that tensor parallelism divides: the blocks' matrices
  double transformer_float32 = 0;  ///< the share that no precision rounds
  double step_llm = 0, clip = 0;
  double vae_decoder = 0, vae_encoder = 0;
  double vae_doubling =
      0;  ///< what the decoder holds beside them: taps that are summed for each output place
};
ParameterCounts count_parameters(const ModelShapes& shapes);

/// Operations by kind (a multiply-add is two), and the bytes that passes between products move.
struct Work {
  double linear_flops = 0, attention_flops = 0, convolution_flops = 0;
  double moved_bytes = 0;

  double flops() const { return linear_flops + attention_flops + convolution_flops; }
  Work& operator+=(const Work& other);
  friend Work operator+(Work a, const Work& b) { return a += b; }
  friend Work operator*(double factor, const Work& work);
};

/// How much of a transformer layer one rank has: its tokens, and of every token its heads and feed-forward
/// columns. The default share is all of it.
struct LayerShare {
  double tokens = 0;            ///< rows of the matrix products
  double heads = 0;             ///< of every product: those of this rank's tensor shard
  double feed_forward = 0;      ///< columns of the hidden layer
  double attended_queries = 0;  ///< rows of self-attention, with `attended_heads` heads
  double attended_keys = 0;
  double attended_heads = 0;
  double merges = 0;  ///< partial results of attention that a query's is merged with, in float32

  static LayerShare whole(const model::TransformerConfig& config, double tokens);
};

/// One of the transformer's layers for one batch element, with elements of `element_bytes` between products.
/// Counts what a step repeats: the text's keys and values are in text_work().
Work layer_work(const model::TransformerConfig& config, const LayerShare& share, double text_tokens,
                double element_bytes = 2);

/// What stands before and after the layers, for one batch element: patches in, velocity out.
Work edge_work(const model::TransformerConfig& config, double tokens);

/// Both text encoders over a prompt and a negative prompt.
Work text_work(const ModelShapes& shapes);

/// One decoded chunk (or image) of height x width pixels.
Work decode_work(const model::VaeConfig& config, VideoShape video, double element_bytes = 2);

/// The bytes of activations that one decoded chunk holds, with elements of `element_bytes` (4 or 2) where the
/// decoder rounds: those of model::vae::DecoderRooms, in which the decoder runs, for as many frames together
/// as the limit allows. Throws RequestError where that refuses.
double decode_activation_bytes(const model::VaeConfig& config, VideoShape video, double element_bytes,
                               bool on_gpu, const model::vae::MemoryLimit& limit);

}  // namespace stepvideo::plan
