// A GPU as the rules judge it that choose one of a kernel's forms.
#pragma once
#include <string>

#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// A GPU, and what this program holds for it.
struct KernelGpu {
  int compute_capability = 0;            ///< 10 major + minor: 90 for Hopper
  bool has_code_for_warpgroups = false;  ///< The program was compiled for 90a, too.
};

/// "9.0"
inline std::string compute_capability_text(int compute_capability) {
  return std::to_string(compute_capability / 10) + "." + std::to_string(compute_capability % 10);
}

/// Why a kernel's fast form does not serve a GPU, as a reason in a sentence.
inline std::string old_gpu_text(int compute_capability) {
  return "the GPU has compute capability " + compute_capability_text(compute_capability) +
         "; 8.0 and newer work";
}
inline std::string not_hopper_text(int compute_capability) {
  return "the GPU has compute capability " + compute_capability_text(compute_capability) +
         "; warpgroup products are Hopper's, 9.0";
}
inline std::string no_warpgroup_code_text() {
  return "the program was not compiled for 90a (or with -DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS)";
}

}  // namespace stepvideo
