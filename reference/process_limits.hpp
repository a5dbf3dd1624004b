// Limits of a process that libraries and kernels would break on.
#pragma once
#include <functional>

namespace stepvideo {

/// Does `work` and returns its result, on threads whose stacks hold what kernels lay out there (attention 0.7
/// MB): a small `ulimit -s` is made up for. Where OMP_STACKSIZE asks for less, the program begins again as
/// `arguments` with more; where addresses are limited (ulimit -v), without the threads that OpenBLAS makes as
/// it is loaded and nobody uses, each of which would wait for 128 MiB for ever. Throws Error where that
/// cannot be.
int within_limits(char** arguments, const std::function<int()>& work);

/// The bytes that a value of OMP_STACKSIZE means, 0 where it means none.
unsigned long long stack_bytes_of(const char* value);

}  // namespace stepvideo
