// From measured sizes to one that was not measured.
#pragma once
#include <vector>

namespace stepvideo::ramp {

struct Estimate {
  double value = 0;
  double low = 0, high = 0;  ///< 90 % of runs like the measured ones lie between
};

/// measured = fixed + slope x model, neither below 0, by least squares of relative errors (each point weighs
/// 1 / measured^2). One point, or points of one model value, give a plain ratio. The interval is Student's
/// for a new observation: the scatter of the points, and how far the model value lies beyond them. Where no
/// degree of freedom is left the interval is the factor that the caller calls a surprise.
class Fit {
 public:
  explicit Fit(double surprise_factor) : surprise_factor_(surprise_factor) {}

  /// `model` and `measured` are positive; others are left out.
  void add(double model, double measured);

  bool empty() const { return points_.empty(); }
  Estimate at(double model) const;

 private:
  struct Point {
    double model, measured;
  };
  struct Line {
    double fixed = 0, slope = 0;
    int parameters = 1;
    double value(double model) const { return fixed + slope * model; }
  };

  Line line() const;
  Line line_through_origin() const;
  Line constant() const;
  double squared_error(const Line& line) const;
  double variance_factor(const Line& line, double model) const;

  double surprise_factor_;
  std::vector<Point> points_;
};

}  // namespace stepvideo::ramp
