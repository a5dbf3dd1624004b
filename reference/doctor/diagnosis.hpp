// All checks of a machine, and what they come to.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "doctor/finding.hpp"
#include "doctor/machine_facts.hpp"

namespace stepvideo::doctor {

struct Request {
  std::optional<int> gpus;  ///< wanted; nothing: all that are visible
  std::optional<std::filesystem::path> model;
};

struct Diagnosis {
  Findings findings;
  Verdict verdict = Verdict::ok;  ///< ok, warning or unfit
  std::string sentence;

  /// 0 fit, 1 will run with warnings, 2 will not.
  int exit_code() const { return verdict == Verdict::unfit ? 2 : verdict == Verdict::warning ? 1 : 0; }
};

/// Throws RequestError naming the flag: a count of GPUs below 0, a model of which nothing is there.
Diagnosis diagnose(const MachineFacts& machine, const Request& request);

/// One aligned line a finding, then the sentence. `has_color` marks verdicts with ANSI colours.
std::string to_text(const Diagnosis& diagnosis, bool has_color);
/// {"verdict", "exit_code", "sentence", "checks": [{"check", "verdict", "found", "wanted", "fix"}],
/// "machine"}
io::Json to_json(const Diagnosis& diagnosis, const MachineFacts& machine);

}  // namespace stepvideo::doctor
