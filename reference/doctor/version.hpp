// Versions as libraries and drivers spell them: "12.5.2.13".
#pragma once
#include <algorithm>
#include <charconv>
#include <compare>
#include <string>
#include <string_view>
#include <vector>

namespace stepvideo::doctor {

class Version {
 public:
  Version(std::initializer_list<int> parts) : parts_(parts) {}
  /// Reads numbers with dots between, up to the first thing that is neither.
  explicit Version(std::string_view text) {
    while (!text.empty()) {
      int part = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), part);
      if (error != std::errc{} || part < 0) break;
      parts_.push_back(part);
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      if (!text.starts_with('.')) break;
      text.remove_prefix(1);
    }
  }

  int part(std::size_t index) const { return index < parts_.size() ? parts_[index] : 0; }
  int major_part() const { return part(0); }
  bool is_empty() const { return parts_.empty(); }

  /// Whether this version spells too few parts to say on which side of `bound` it is.
  bool is_too_short_to_tell(const Version& bound) const {
    return parts_.size() < bound.parts_.size() &&
           std::equal(parts_.begin(), parts_.end(), bound.parts_.begin());
  }
  /// Missing parts count as 0.
  std::strong_ordering operator<=>(const Version& other) const {
    for (std::size_t i = 0; i < std::max(parts_.size(), other.parts_.size()); ++i)
      if (const auto order = part(i) <=> other.part(i); order != 0) return order;
    return std::strong_ordering::equal;
  }
  bool operator==(const Version& other) const { return (*this <=> other) == 0; }

 private:
  std::vector<int> parts_;
};

}  // namespace stepvideo::doctor
