// The other half: see one_unit.cpp.
#include <stepvideo/stepvideo.hpp>

bool other_unit_agrees(stepvideo::LatentShape latent) {
  return latent.tokens() == 75'888;
}
