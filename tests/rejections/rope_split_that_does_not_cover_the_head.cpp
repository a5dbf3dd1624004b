// quotes: RopeSplitCoversHead
#include <stepvideo/core/shape.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
using Rope = Rope3d<64, 32, 32>;
#else
using Rope = Rope3d<32, 16, 16>;
#endif
static_assert(RotaryHeads<HeadShape{.count = 48, .dim = 128}, Rope>::split.dim() == 128);
