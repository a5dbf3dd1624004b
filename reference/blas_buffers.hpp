// OpenBLAS's working memory where addresses are limited.
#pragma once

namespace stepvideo {

/// Under a limit of addresses (ulimit -v) OpenBLAS, which asks for ever for memory that it does not get, is
/// given what its products on this process's OpenMP threads take, for good. Throws Error where the limit
/// leaves less. Elsewhere does nothing.
void take_blas_buffers();

}  // namespace stepvideo
