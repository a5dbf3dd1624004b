// quotes: SizeIsOnTheLatentGrid
#include <stepvideo/core/shape.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
constexpr VideoShape video{204, 544, 992};
#else
constexpr VideoShape video{204, 540, 992};
#endif
static_assert(StaticVideo<video>::latent.frames > 0);
