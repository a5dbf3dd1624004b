// Activations, as small structs that map one float to another.
#pragma once
#include <cmath>

#include <stepvideo/kernels/tile/exp.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

struct Identity {
  constexpr float operator()(float x) const { return x; }
};
/// x / (1 + exp(-x))
struct Silu {
  constexpr float operator()(float x) const { return fast_divide(x, 1.0f + fast_exp(-x)); }
};
/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x sigmoid(2 u)
struct GeluTanh {
  constexpr float operator()(float x) const {
    constexpr float minus_two_u = -2.0f * 0.797884561f;  // exact, so that the bits are those of -2 (u)
    return fast_divide(x, 1.0f + fast_exp(minus_two_u * (x + 0.044715f * x * x * x)));
  }
};
/// x/2 (1 + erf(x / sqrt 2))
struct GeluErf {
  constexpr float operator()(float x) const { return 0.5f * x * (1.0f + std::erf(0.707106781f * x)); }
};

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
