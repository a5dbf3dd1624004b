// quotes: RopeSplitCoversHead
#include <stepvideo/comm/parallel_attention.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
using Rope = Rope3d<64, 32, 32>;
#else
using Rope = Rope3d<32, 16, 16>;
#endif
using Attention = ParallelAttention<bf16, HeadShape{.count = 48, .dim = 128}, Topology{.ulysses = 4}, Rope>;
static_assert(Attention::mesh.ranks() == 4);
