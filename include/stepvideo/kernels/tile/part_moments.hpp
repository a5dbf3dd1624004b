// Moments of the parts of a video's frames: what a kernel leaves for the GroupNorm of what it wrote.
#pragma once
#include <string>

#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// The number of some values, their mean, and the sum of their squared deviations from it. None has a mean of
/// 0.
struct PartMoments {
  float count, mean, deviations;
};

/// (frames, parts, units), dense: the parts cover a frame's pixels once, in any order; a unit is a group of
/// neighbouring channels, or a channel.
struct PartMomentsView {
  PartMoments* data = nullptr;
  index_t frames = 0, parts = 0, units = 0;

  constexpr index_t size() const { return frames * parts * units; }
  constexpr PartMoments* of(index_t frame, index_t part) const {
    return data + (frame * parts + part) * units;
  }
};

inline std::string shape_text(const PartMomentsView& moments) {
  return extents_text({moments.frames, moments.parts, moments.units});
}

/// The moments of both: `into` and `other` become one in `into` (Chan, Golub and LeVeque, "Updating formulae
/// and a pairwise algorithm for computing sample variances").
constexpr void join(PartMoments& into, const PartMoments& other) {
  const float count = into.count + other.count;
  if (count == 0) return;
  const float difference = other.mean - into.mean, share = other.count / count;
  into.mean += difference * share;
  into.deviations += other.deviations + difference * difference * into.count * share;
  into.count = count;
}

}  // namespace stepvideo
