// OpenBLAS's sgemm on one tile, by the calling thread alone.
#pragma once
#include <stepvideo/core/compiler.hpp>

#if !__has_include(<cblas.h>)
// clang-format off
#error "linear on the host multiplies with OpenBLAS, whose cblas.h is not on the include path; on Debian libopenblas-dev has it, and a header of the kernel that you need, in place of stepvideo.hpp, does without"
// clang-format on
#endif
#include <cblas.h>

#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Makes OpenBLAS run every call on the thread that calls it, for the whole process from the first kernel on:
/// the kernels cut their work into tiles themselves, and a tile's result must not depend on a thread count.
inline void keep_blas_single_threaded() {
  static const bool is_set = (openblas_set_num_threads(1), true);
  static_cast<void>(is_set);
}

/// out = a b^T + keep * out, with a (rows, depth), b (columns, depth), out (rows, columns); keep is 0 or 1,
/// and with 0 the old values of out are not read.
inline void sgemm_tile(MatrixView<const float> a, MatrixView<const float> b, float keep,
                       MatrixView<float> out) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(out.rows),
              static_cast<blasint>(out.columns), static_cast<blasint>(a.columns), 1.0f, a.data,
              static_cast<blasint>(a.row_stride), b.data, static_cast<blasint>(b.row_stride), keep, out.data,
              static_cast<blasint>(out.row_stride));
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
