// quotes: RopeSplitCoversHead
#include <stepvideo/core/shape.hpp>
using namespace stepvideo;
template <HeadShape heads, class Rope>
  requires RopeSplitCoversHead<Rope, heads>
constexpr int attend() {
  return heads.width();
}
#ifdef RULE_KEPT
using Rope = Rope3d<64, 32, 32>;
#else
using Rope = Rope3d<32, 16, 16>;
#endif
static_assert(attend<HeadShape{.count = 48, .dim = 128}, Rope>() == 6144);
