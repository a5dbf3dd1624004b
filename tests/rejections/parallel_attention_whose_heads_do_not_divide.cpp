// quotes: HeadsDivideAcrossRanks
#include <stepvideo/comm/parallel_attention.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
constexpr Topology gpus{.ulysses = 5, .sharding = Sharding::uneven};
#else
constexpr Topology gpus{.ulysses = 5};
#endif
using Attention = ParallelAttention<bf16, HeadShape{.count = 48, .dim = 128}, gpus, Rope3d<64, 32, 32>>;
static_assert(Attention::mesh.ranks() == 5);
