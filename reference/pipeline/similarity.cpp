#include "pipeline/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace stepvideo::pipeline {
namespace {

constexpr index_t window = 8, stride = 4;

/// Where windows begin along an extent; the last ends with it.
std::vector<index_t> window_starts(index_t extent) {
  std::vector<index_t> starts;
  for (index_t start = 0; start + window < extent; start += stride) starts.push_back(start);
  starts.push_back(std::max<index_t>(0, extent - window));
  return starts;
}

/// Of one window of both.
struct Moments {
  double one = 0, other = 0, one_squared = 0, other_squared = 0, product = 0, count = 0;

  void add(double a, double b) {
    one += a, other += b;
    one_squared += a * a, other_squared += b * b, product += a * b;
    ++count;
  }
  double ssim(double range) const {
    const double a = one / count, b = other / count, steady = std::pow(0.01 * range, 2),
                 quiet = std::pow(0.03 * range, 2);
    const double variances = one_squared / count - a * a + other_squared / count - b * b;
    return (2 * a * b + steady) * (2 * (product / count - a * b) + quiet) /
           ((a * a + b * b + steady) * (variances + quiet));
  }
};

}  // namespace

template <class T>
void Similarity::add_plane(const T* one, const T* other, index_t height, index_t width, index_t step) {
  const auto rows = window_starts(height), columns = window_starts(width);
  std::vector<double> of_rows(rows.size()), errors(static_cast<std::size_t>(height));
#pragma omp parallel for
  for (std::size_t row = 0; row < rows.size(); ++row)
    for (const index_t left : columns) {
      Moments moments;
      for (index_t y = rows[row]; y < std::min(height, rows[row] + window); ++y)
        for (index_t x = left; x < std::min(width, left + window); ++x)
          moments.add(one[(y * width + x) * step], other[(y * width + x) * step]);
      of_rows[row] += moments.ssim(range_);
    }
#pragma omp parallel for
  for (index_t y = 0; y < height; ++y)
    for (index_t x = 0; x < width; ++x) {
      const index_t i = (y * width + x) * step;
      const double difference = static_cast<double>(one[i]) - static_cast<double>(other[i]);
      errors[static_cast<std::size_t>(y)] += difference * difference;
    }
  for (const double sum : of_rows) ssim_ += sum;
  for (const double sum : errors) squared_error_ += sum;
  windows_ += static_cast<double>(rows.size() * columns.size());
  samples_ += static_cast<double>(height * width);
}

void Similarity::add(const std::uint8_t* one, const std::uint8_t* other, index_t height, index_t width,
                     index_t step) {
  add_plane(one, other, height, width, step);
}

void Similarity::add(const float* one, const float* other, index_t height, index_t width, index_t step) {
  add_plane(one, other, height, width, step);
}

void Similarity::add(const Similarity& other) {
  squared_error_ += other.squared_error_;
  samples_ += other.samples_;
  ssim_ += other.ssim_;
  windows_ += other.windows_;
}

double Similarity::psnr() const {
  if (squared_error_ == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(range_ * range_ * samples_ / squared_error_);
}

}  // namespace stepvideo::pipeline
