// What an oracle says of each element: its value, and what was summed to make it.
#pragma once
#include <cmath>
#include <vector>

namespace stepvideo::oracle {

/// Values in double, and for each the sum of the absolute values of its terms: a bound on a kernel's
/// roundings is a share of that (check_each).
struct Sums {
  std::vector<double> values, summed;

  void add(double value, double magnitude) { values.push_back(value), summed.push_back(magnitude); }

  /// function(value) of each, whose slope is nowhere steeper than `steepest`.
  template <class Function>
  Sums mapped(Function&& function, double steepest) const {
    Sums result;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = function(values[i]);
      result.add(value, steepest * summed[i] + std::abs(value));
    }
    return result;
  }
};

}  // namespace stepvideo::oracle
