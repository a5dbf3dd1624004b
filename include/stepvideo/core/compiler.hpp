// What every header asks of the compiler. What is missing is said in one sentence, before anything that needs
// it.
#pragma once

#if __cplusplus < 202002L
// clang-format off
#error "stepvideo needs C++20 and is being compiled as an older one; add -std=c++20"
// clang-format on
#include <stepvideo: the line above says what helps>  // Ends a compilation that would go on with its consequences.
#endif
