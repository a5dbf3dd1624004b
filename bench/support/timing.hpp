// Timing of one call: inputs rotate so that no run finds its own in the cache, the fastest run counts.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include <stepvideo/core/buffer.hpp>

namespace stepvideo::bench {

/// Sets of inputs to take turns; together larger than a core's own caches.
inline constexpr int input_sets = 8;

/// The fastest of the runs of `call(set)`, in seconds, over at least `least_seconds`.
template <class Call>
double fastest_seconds(Call&& call, double least_seconds = 0.3) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  double fastest = 1e9;
  for (int run = 0;
       run < 2 * input_sets || std::chrono::duration<double>(Clock::now() - begin).count() < least_seconds;
       ++run) {
    const auto start = Clock::now();
    call(run % input_sets);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (run > 0) fastest = std::min(fastest, seconds);  // the first run makes pages and threads
  }
  return fastest;
}

/// One buffer of normal values for each set.
template <class T>
std::vector<Buffer<T>> random_inputs(index_t size) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<Buffer<T>> sets;
  for (int set = 0; set < input_sets; ++set) {
    Buffer<T> values(size);
    for (T& value : values) value = T(normal(engine));
    sets.push_back(std::move(values));
  }
  return sets;
}

}  // namespace stepvideo::bench
