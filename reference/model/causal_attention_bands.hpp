// How a GPU splits the attention of the VAE's middle.
#pragma once
#include <algorithm>
#include <cstddef>

#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>

namespace stepvideo::model::vae {

/// Bands of queries, each with the keys up to its own end: scores, their softmax, the product with the
/// values. Memory grows with the tokens, not with their square.
class CausalAttentionBands {
 public:
  /// The product with the values has 64 tiles of cuBLASLt's at 512 channels; the part above the diagonal,
  /// which is computed in vain, is half a band.
  static constexpr index_t band = 4096;
  /// Keys are rounded up to whole rows of 16 bytes for the products; those that are too many are hidden.
  static constexpr index_t granule = 8;

  CausalAttentionBands(index_t tokens, index_t channels) : tokens_(tokens), channels_(channels) {}

  index_t band_tokens() const { return std::min(band, tokens_); }
  /// Of keys and values, in memory.
  index_t padded_tokens() const { return (tokens_ + granule - 1) / granule * granule; }

  /// Scores in float32, weights and transposed values of `element_bytes`.
  std::size_t workspace_bytes(std::size_t element_bytes) const {
    const auto bytes = static_cast<index_t>(element_bytes);
    return stepvideo::workspace_bytes<float>(band_tokens() * padded_tokens()) +
           stepvideo::workspace_bytes<std::byte>(band_tokens() * padded_tokens() * bytes) +
           stepvideo::workspace_bytes<std::byte>(channels_ * padded_tokens() * bytes);
  }

 private:
  index_t tokens_, channels_;
};

}  // namespace stepvideo::model::vae
