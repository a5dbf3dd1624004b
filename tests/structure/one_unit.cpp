// Half of a program that includes everything twice: a function that is not inline would not link.
#include <stepvideo/stepvideo.hpp>

static_assert(STEPVIDEO_VERSION_MAJOR == PROJECT_MAJOR && STEPVIDEO_VERSION_MINOR == PROJECT_MINOR &&
                  STEPVIDEO_VERSION_PATCH == PROJECT_PATCH,
              "core/version.hpp and project(VERSION) of CMakeLists.txt name one version");

bool other_unit_agrees(stepvideo::LatentShape latent);

int main() {
  return other_unit_agrees(stepvideo::VideoShape{204, 544, 992}.latent()) ? 0 : 1;
}
