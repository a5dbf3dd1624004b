#include "io/frame_rate.hpp"

#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {
namespace {

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

std::optional<FrameRate> read_fraction(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos) return {};
  const auto numerator = number<int>(text.substr(0, slash)),
             denominator = number<int>(text.substr(slash + 1));
  if (!numerator || !denominator || *numerator <= 0 || *denominator <= 0) return {};
  const int common = std::gcd(*numerator, *denominator);
  return FrameRate{*numerator / common, *denominator / common};
}

std::optional<FrameRate> read_decimal(std::string_view text) {
  const auto value = number<double>(text);
  if (!value || !(*value > 0) || *value > 1000) return {};
  const double whole = std::ceil(*value);
  if (*value != whole && std::abs(*value - whole * 1000 / 1001) < 0.003)
    return FrameRate{static_cast<int>(whole) * 1000, 1001};
  const int thousandths = static_cast<int>(std::lround(*value * 1000));
  const int common = std::gcd(thousandths, 1000);
  return FrameRate{thousandths / common, 1000 / common};
}

}  // namespace

std::string to_string(FrameRate rate) {
  return rate.denominator == 1 ? std::to_string(rate.numerator)
                               : fmt::format("{}/{}", rate.numerator, rate.denominator);
}

FrameRate parse_frame_rate(const std::string& place, const std::string& text) {
  const auto fraction = read_fraction(text);
  const auto rate = fraction ? fraction : read_decimal(text);
  require(rate && is_usual(*rate), [&] {
    return fmt::format(
        "{}: '{}' is no frame rate; frames a second from 0.01 to 1000, as in 25, 12.5 or 30000/1001, work",
        place, text);
  });
  return *rate;
}

}  // namespace stepvideo::io
