// The device's matrix rate, through the library that everybody can link.
#pragma once
#include <optional>

#include "support/report.hpp"

namespace stepvideo::bench {

/// Operations per second of one 8192 x 8192 x 8192 product of random normal values, with float32 sums and a
/// bf16 result: the best of the algorithms that cuBLASLt proposes, each the median of a burst of five,
/// too short for the power limit to lower the clock. Nothing where cuBLASLt is absent or refuses.
std::optional<double> matmul_flops_per_second(Arithmetic arithmetic);

}  // namespace stepvideo::bench
