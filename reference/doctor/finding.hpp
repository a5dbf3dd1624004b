// One line of doctor's answer.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

namespace stepvideo::doctor {

/// From best to worst, but that `unknown` weighs as much as ok: a fact that could not be read forbids
/// nothing.
enum class Verdict { ok, unknown, warning, unfit };

inline const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::unknown:
      return "unknown";
    case Verdict::warning:
      return "warning";
    case Verdict::unfit:
      return "unfit";
  }
  return "";
}

struct Finding {
  std::string check;
  Verdict verdict = Verdict::ok;
  std::string found;
  std::string wanted;
  std::string fix;  ///< a command; empty where nothing need be done
};

using Findings = std::vector<Finding>;

}  // namespace stepvideo::doctor
