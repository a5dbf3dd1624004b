// What the build decided: STEPVIDEO_BUILT_* come from reference/CMakeLists.txt, for this file alone.
#include <string_view>

#include "doctor/probe.hpp"

namespace stepvideo::doctor {

BuildFacts this_build() {
  BuildFacts facts{.version = STEPVIDEO_BUILT_VERSION,
                   .cuda = {},
                   .video = STEPVIDEO_BUILT_VIDEO != 0,
                   .text = STEPVIDEO_BUILT_TEXT != 0,
                   .model_on_gpu = std::string_view(STEPVIDEO_BUILT_CUDA) != "",
                   .cpu_features = {}};
  if (const std::string_view cuda = STEPVIDEO_BUILT_CUDA; !cuda.empty()) facts.cuda = cuda;
#if defined(__AVX2__)
  facts.cpu_features.emplace_back("avx2");
#endif
#if defined(__FMA__)
  facts.cpu_features.emplace_back("fma");
#endif
#if defined(__AVX512F__)
  facts.cpu_features.emplace_back("avx512f");
#endif
#if defined(__AVX512BF16__)
  facts.cpu_features.emplace_back("avx512_bf16");
#endif
  return facts;
}

}  // namespace stepvideo::doctor
