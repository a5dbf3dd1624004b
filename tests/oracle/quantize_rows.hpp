// What fp8 e4m3 may lose: three bits behind the point, and below 2^-6 steps of 2^-9.
#pragma once
#include <algorithm>
#include <cmath>

namespace stepvideo::oracle {

/// The largest error of a value that was divided by `scale`, rounded to the nearest e4m3 and multiplied back:
/// half a step of its binade, or half a step of the subnormals.
inline double largest_fp8_error(double value, double scale) {
  const double exponent = value == 0 ? -6 : std::max(-6.0, std::floor(std::log2(std::abs(value) / scale)));
  return scale * std::exp2(exponent - 4);
}

}  // namespace stepvideo::oracle
