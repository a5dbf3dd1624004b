// quotes: HeadsDivideAcrossRanks
#include <stepvideo/comm/mesh.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
constexpr Topology gpus{.ulysses = 4};
#else
constexpr Topology gpus{.ulysses = 5};
#endif
static_assert(HeadShards<HeadShape{.count = 48, .dim = 128}, gpus>::of(0).count > 0);
