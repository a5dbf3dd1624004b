#include "plan/rank_share.hpp"

#include <stepvideo/comm/mesh.hpp>

namespace stepvideo::plan {

RankShare::RankShare(const Request& request, Topology topology) {
  const auto& config = request.shapes.transformer;
  const long long tokens = request.video.tokens(), granule = token_granule(request.arithmetic);
  const Mesh mesh{topology};
  constexpr int busiest = 0;  // the first shares are the largest
  const auto count = [](Shard shard) { return static_cast<double>(shard.count); };
  const long long columns = static_cast<long long>(config.feed_forward_factor) * config.width();
  const int heads = config.heads.count;
  layer_ = {.tokens = count(mesh.tokens(tokens, busiest, granule)),
            .heads = count(mesh.projected_heads(config.heads, busiest)),
            .feed_forward = count(mesh.columns(columns, busiest)),
            .attended_queries = count(mesh.attended_tokens(tokens, busiest, granule)),
            .attended_keys = static_cast<double>(tokens),
            .attended_heads = count(mesh.attended_heads(config.heads, busiest)),
            .merges = static_cast<double>(topology.ring - 1)};
  mean_ = {.tokens = static_cast<double>(tokens) / topology.token_shards(),
           .heads = static_cast<double>(heads) / topology.tensor,
           .feed_forward = static_cast<double>(columns) / topology.tensor,
           .attended_queries = static_cast<double>(tokens) / topology.ring,
           .attended_keys = static_cast<double>(tokens),
           .attended_heads = static_cast<double>(heads) / topology.head_shards(),
           .merges = static_cast<double>(topology.ring - 1)};
  batch_ = count(mesh.prompts(busiest));
  block_ = {static_cast<index_t>(layer_.heads) * config.heads.dim, static_cast<index_t>(layer_.feed_forward)};
}

}  // namespace stepvideo::plan
