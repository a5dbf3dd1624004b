// The comparison with PyTorch, carried inside the program.
#pragma once

namespace stepvideo::bench {

/// The text of bench/compare_pytorch_kernels.py.
extern const char* const pytorch_script;

}  // namespace stepvideo::bench
