// A GPU as the rules judge it that choose one of a kernel's forms.
#pragma once
#include <string>

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

}  // namespace stepvideo
