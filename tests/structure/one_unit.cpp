// Half of a program that includes everything twice: a function that is not inline would not link.
#include <stepvideo/stepvideo.hpp>

bool other_unit_agrees(stepvideo::LatentShape latent);

int main() {
  return other_unit_agrees(stepvideo::VideoShape{204, 544, 992}.latent()) ? 0 : 1;
}
