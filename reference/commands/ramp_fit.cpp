#include "commands/ramp_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace stepvideo::ramp {
namespace {

/// Student's t, two-sided 90 %, by degrees of freedom.
double student(std::size_t freedom) {
  constexpr std::array values = {6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812};
  return freedom > values.size() ? 1.7 : values[freedom - 1];
}

}  // namespace

void Fit::add(double model, double measured) {
  if (model > 0 && measured > 0 && std::isfinite(model) && std::isfinite(measured))
    points_.push_back({model, measured});
}

Fit::Line Fit::line_through_origin() const {
  double xy = 0, xx = 0;
  for (const auto& [x, y] : points_) {
    xy += x / y;
    xx += x * x / (y * y);
  }
  return {.fixed = 0, .slope = xy / xx, .parameters = 1};
}

Fit::Line Fit::constant() const {
  double y1 = 0, one = 0;
  for (const auto& point : points_) {
    y1 += 1 / point.measured;
    one += 1 / (point.measured * point.measured);
  }
  return {.fixed = y1 / one, .slope = 0, .parameters = 1};
}

double Fit::squared_error(const Line& line) const {
  double sum = 0;
  for (const auto& [x, y] : points_) sum += std::pow((y - line.value(x)) / y, 2);
  return sum;
}

Fit::Line Fit::line() const {
  const auto [least, most] = std::ranges::minmax_element(points_, {}, &Point::model);
  if (most->model < 1.01 * least->model) return line_through_origin();
  double w = 0, wx = 0, wxx = 0, wy = 0, wxy = 0;
  for (const auto& [x, y] : points_) {
    const double weight = 1 / (y * y);
    w += weight;
    wx += weight * x;
    wxx += weight * x * x;
    wy += weight * y;
    wxy += weight * x * y;
  }
  const double determinant = w * wxx - wx * wx;
  const Line both{(wxx * wy - wx * wxy) / determinant, (w * wxy - wx * wy) / determinant, 2};
  if (both.fixed >= 0 && both.slope >= 0) return both;
  const Line scaled = line_through_origin(), flat = constant();
  return squared_error(scaled) <= squared_error(flat) ? scaled : flat;
}

/// Variance of a new observation at `model`, in units of the relative scatter squared.
double Fit::variance_factor(const Line& line, double model) const {
  double w = 0, wx = 0, wxx = 0;
  for (const auto& [x, y] : points_) {
    const double weight = 1 / (y * y);
    w += weight;
    wx += weight * x;
    wxx += weight * x * x;
  }
  const double own = line.value(model) * line.value(model);
  if (line.parameters == 2) return own + (wxx - 2 * wx * model + w * model * model) / (w * wxx - wx * wx);
  return own + (line.slope > 0 ? model * model / wxx : 1 / w);
}

Estimate Fit::at(double model) const {
  if (points_.empty()) return {};
  const Line line = this->line();
  const double value = line.value(model);
  const std::size_t parameters = static_cast<std::size_t>(line.parameters);
  if (points_.size() <= parameters) return {value, value / surprise_factor_, value * surprise_factor_};
  const std::size_t freedom = points_.size() - parameters;
  const double scatter = squared_error(line) / static_cast<double>(freedom);
  const double half = student(freedom) * std::sqrt(scatter * variance_factor(line, model));
  return {value, std::max(0.0, value - half), value + half};
}

}  // namespace stepvideo::ramp
