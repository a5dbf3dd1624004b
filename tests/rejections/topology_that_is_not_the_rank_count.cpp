// quotes: TopologyCoversRanks
#include <stepvideo/comm/mesh.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
constexpr int ranks = 4;
#else
constexpr int ranks = 3;
#endif
static_assert(mesh_of<Topology{.guidance = 2, .ulysses = 2}, ranks>.at(0).ring == 0);
