// What the busiest rank of a topology has of a transformer layer.
#pragma once
#include "model/block_slab.hpp"
#include "plan/cost_model.hpp"

namespace stepvideo::plan {

/// Of an element that the precision rounds to: fp8 products read bf16 tensors.
double element_bytes(Arithmetic arithmetic);
/// Tokens that ranks do not part: fp8's blocks share a scale.
long long token_granule(Arithmetic arithmetic);

class RankShare {
 public:
  RankShare(const Request& request, Topology topology);

  /// Of the rank with the most tokens and heads.
  const LayerShare& layer() const { return layer_; }
  /// Were tokens and heads divided exactly.
  const LayerShare& mean_layer() const { return mean_; }
  /// Batch elements: 2, or 1 where prompt and negative prompt are on different ranks.
  double batch() const { return batch_; }
  /// What this rank has of a block.
  const model::BlockShare& block() const { return block_; }

 private:
  LayerShare layer_, mean_;
  double batch_ = 2;
  model::BlockShare block_;
};

}  // namespace stepvideo::plan
