// The instruction set of a translation unit, as part of its kernels' names.
//
// What a kernel compiles to follows the compiler's -m flags: the width of a vector, so the order of a packed
// weight, the size of a tile. Inline functions of one name must be the same in every unit of a program; the
// linker keeps one of them, and units with other flags would run it on memory of another layout. So whatever
// computes on the CPU lies in
//
//     namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET { ... }
//
// and a program may mix units with different flags. What a caller holds (views, buffers, options, masks,
// tables, shapes and the rules that judge them) is the same under all flags and keeps one name, so that it
// can be handed from one unit to another. Each folder has one `detail` namespace, and its headers write
// stepvideo::norm_detail::inline ..., innermost.
//
// The names make results right, not old CPUs able: where units share a small function of core or of the
// standard library that was not inlined, the linker keeps one unit's copy. A program that must start on a CPU
// which lacks an instruction set keeps the units compiled for it in a shared library of their own.
#pragma once
#include <stepvideo/core/compiler.hpp>

#if defined(__AVX512F__)
#define STEPVIDEO_INSTRUCTION_SET avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define STEPVIDEO_INSTRUCTION_SET avx2_fma
#elif defined(__AVX2__)
#define STEPVIDEO_INSTRUCTION_SET avx2
#elif defined(__AVX__) && defined(__FMA__)
#define STEPVIDEO_INSTRUCTION_SET avx_fma
#elif defined(__AVX__)
#define STEPVIDEO_INSTRUCTION_SET avx
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define STEPVIDEO_INSTRUCTION_SET vector128_fma
#else
#define STEPVIDEO_INSTRUCTION_SET vector128
#endif
