// The sampler's times: a straight flow from noise (sigma 0) to video (sigma 1), shifted towards the noise.
#pragma once
#include <limits>
#include <string>

#include <stepvideo/core/error.hpp>

namespace stepvideo {

/// sigma[i], i = 0 .. steps, of s_i = linspace(1, 0, steps + 1), s' = shift s / (1 + (shift - 1) s),
/// sigma = 1 - s'. Evaluated in double and rounded once; the release's float32 schedule agrees within 1.2e-7,
/// two roundings of a number near one.
class FlowSchedule {
 public:
  /// Throws RequestError unless steps >= 1 and shift > 0.
  FlowSchedule(int steps, float shift) : steps_(steps), shift_(shift) {
    require(steps >= 1, [&] { return "steps is " + std::to_string(steps) + "; 1 or more works"; });
    require(shift > 0 && shift <= std::numeric_limits<float>::max(), [&] {
      return "time shift is " + std::to_string(shift) + "; it must be above 0 and finite in float32";
    });
  }

  int steps() const { return steps_; }
  float sigma(int i) const {
    // (1 - s) / (1 + (shift - 1) s): the same as 1 - s' without its cancellation.
    const double s = 1.0 - static_cast<double>(i) / steps_;
    return static_cast<float>((1.0 - s) / (1.0 + (static_cast<double>(shift_) - 1.0) * s));
  }
  /// The time the model sees at step i.
  float time(int i) const { return sigma(i); }
  /// How far step i goes.
  float step_size(int i) const { return sigma(i + 1) - sigma(i); }

 private:
  int steps_;
  float shift_;
};

}  // namespace stepvideo
