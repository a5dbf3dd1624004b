#include "plan/rank_share.hpp"

#include <stepvideo/comm/mesh.hpp>

namespace stepvideo::plan {
namespace {

/// Of the first `shards` of `all` shares; they are the largest.
double count_of_first(long long total, int all, int shards) {
  double sum = 0;
  for (int i = 0; i < shards; ++i) sum += static_cast<double>(shard_of(total, all, i).count);
  return sum;
}

}  // namespace

RankShare::RankShare(const Request& request, Topology topology) {
  const auto& config = request.shapes.transformer;
  const long long tokens = request.video.tokens();
  const long long columns = static_cast<long long>(config.feed_forward_factor) * config.width();
  const int heads = config.heads.count;
  layer_ = {.tokens = count_of_first(tokens, topology.token_shards(), 1),
            .heads = count_of_first(heads, topology.head_shards(), topology.ulysses),
            .feed_forward = count_of_first(columns, topology.tensor, 1),
            .attended_queries = count_of_first(tokens, topology.token_shards(), topology.ulysses),
            .attended_keys = static_cast<double>(tokens),
            .attended_heads = count_of_first(heads, topology.head_shards(), 1),
            .merges = static_cast<double>(topology.ring - 1)};
  mean_ = {.tokens = static_cast<double>(tokens) / topology.token_shards(),
           .heads = static_cast<double>(heads) / topology.tensor,
           .feed_forward = static_cast<double>(columns) / topology.tensor,
           .attended_queries = static_cast<double>(tokens) / topology.ring,
           .attended_keys = static_cast<double>(tokens),
           .attended_heads = static_cast<double>(heads) / topology.head_shards(),
           .merges = static_cast<double>(topology.ring - 1)};
  batch_ = topology.guidance == 2 ? 1 : 2;
  // Attention's five projections are as large as the feed forward's two: 8 width^2 each.
  matrix_fraction_ = (layer_.heads / heads + layer_.feed_forward / static_cast<double>(columns)) / 2;
}

}  // namespace stepvideo::plan
