// Inputs for tests: random, never zero everywhere, and poisoned outputs that show what was not written.
#pragma once
#include <limits>
#include <random>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>

namespace stepvideo::testing {

/// Normal values, rounded to T.
template <class T>
Buffer<T> random_normal(index_t size, std::mt19937& engine, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  Buffer<T> values(size);
  for (T& value : values) value = T(normal(engine));
  return values;
}

/// NaN everywhere: an element that a kernel leaves unwritten fails the comparison.
template <class T>
Buffer<T> poisoned(index_t size) {
  Buffer<T> values(size);
  for (T& value : values) value = T(std::numeric_limits<float>::quiet_NaN());
  return values;
}

/// A random integer in [low, high].
inline int random_int(std::mt19937& engine, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(engine);
}

}  // namespace stepvideo::testing
