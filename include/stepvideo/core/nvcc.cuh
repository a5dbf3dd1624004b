// What every header of the GPU's asks of nvcc. What is missing is said in one sentence, before anything that
// needs it.
#pragma once
#include <stepvideo/core/compiler.hpp>

// clang-format off
#if defined(__CUDACC__) && !defined(__CUDACC_RELAXED_CONSTEXPR__)
#error "stepvideo's kernels call constexpr functions, the standard library's among them; add --expt-relaxed-constexpr"
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "stepvideo needs compute capability 8.0 and is being compiled for less, nvcc's default; name your GPUs, with -gencode=arch=compute_80,code=compute_80 or CMAKE_CUDA_ARCHITECTURES"
#endif
// clang-format on
