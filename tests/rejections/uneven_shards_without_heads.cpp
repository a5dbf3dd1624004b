// quotes: uneven_heads_cover_ranks
#include <stepvideo/comm/mesh.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
constexpr Topology gpus{.ulysses = 5, .sharding = Sharding::uneven};
#else
constexpr Topology gpus{.ulysses = 49, .sharding = Sharding::uneven};
#endif
static_assert(HeadShards<HeadShape{.count = 48, .dim = 128}, gpus>::of(0).count > 0);
