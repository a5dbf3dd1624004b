// The comparisons with PyTorch, carried inside the program.
#pragma once

namespace stepvideo::bench {

/// The texts of bench/compare_pytorch_kernels.py and bench/compare_pytorch_block.py.
extern const char* const pytorch_script;
extern const char* const pytorch_block_script;

}  // namespace stepvideo::bench
