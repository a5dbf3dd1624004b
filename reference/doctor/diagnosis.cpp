#include "doctor/diagnosis.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "doctor/checks.hpp"
#include "io/printable.hpp"

namespace stepvideo::doctor {
namespace {

using io::printable;

constexpr std::array all_checks{
    check_build,         check_driver,      check_runtime,      check_cublas,     check_nccl,
    check_gpus,          check_gpu_count,   check_gpu_memory,   check_clocks,     check_gpu_state,
    check_topology,      check_peer_access, check_processor,    check_memory,     check_shared_memory,
    check_locked_memory, check_open_files,  check_output_place, check_environment};

Case make_case(const MachineFacts& machine, std::optional<int> gpus) {
  Case subject{.machine = machine, .gpus = 0, .used = {}};
  for (std::size_t i = 0; i < machine.gpus.size(); ++i)
    if (machine.gpus[i].is_visible) subject.used.push_back(i);
  subject.gpus = gpus.value_or(static_cast<int>(subject.used.size()));
  subject.used.resize(std::min(subject.used.size(), static_cast<std::size_t>(subject.gpus)));
  return subject;
}

std::vector<std::string> names_with(const Findings& findings, Verdict verdict) {
  std::vector<std::string> names;
  for (const auto& finding : findings)
    if (finding.verdict == verdict) names.push_back(finding.check);
  return names;
}

std::string sentence_for(const Case& subject, const Findings& findings) {
  const std::string place = subject.is_on_cpu() ? "on the CPU"
                            : subject.gpus == 1 ? "on 1 GPU"
                                                : fmt::format("on {} GPUs", subject.gpus);
  const auto unfit = names_with(findings, Verdict::unfit), warnings = names_with(findings, Verdict::warning),
             unknown = names_with(findings, Verdict::unknown);
  const auto plural = [](const auto& names) { return names.size() == 1 ? "" : "s"; };
  std::string sentence;
  if (!unfit.empty())
    sentence = fmt::format("Will not run: fix {} first.", fmt::join(unfit, ", "));
  else if (!warnings.empty())
    sentence = fmt::format("Will run {} with {} warning{}: {}.", place, warnings.size(), plural(warnings),
                           fmt::join(warnings, ", "));
  else
    sentence = fmt::format("Fit to run {}{}.", place,
                           subject.is_on_cpu() ? ": " + what_fits(subject.machine.host) : "");
  if (unfit.empty() && subject.gpus > 1) sentence += " A run of this version uses one of them.";
  if (!unknown.empty()) sentence += fmt::format(" Could not be told: {}.", fmt::join(unknown, ", "));
  return sentence;
}

const char* color_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "\033[32m";
    case Verdict::unknown:
      return "\033[36m";
    case Verdict::warning:
      return "\033[33m";
    case Verdict::unfit:
      return "\033[31m";
  }
  return "";
}

}  // namespace

Diagnosis diagnose(const MachineFacts& machine, const Request& request) {
  require(request.gpus.value_or(0) >= 0,
          [&] { return fmt::format("--gpus is {}; 0 (the CPU alone) or more works", *request.gpus); });
  const Case subject = make_case(machine, request.gpus);
  Diagnosis diagnosis;
  const auto add = [&](Findings findings) {
    std::ranges::move(findings, std::back_inserter(diagnosis.findings));
  };
  for (const auto check : all_checks) add(check(subject));
  if (request.model) add(check_checkpoint(subject, *request.model));
  for (const auto& finding : diagnosis.findings)
    if (finding.verdict != Verdict::unknown) diagnosis.verdict = std::max(diagnosis.verdict, finding.verdict);
  diagnosis.sentence = sentence_for(subject, diagnosis.findings);
  return diagnosis;
}

std::string to_text(const Diagnosis& diagnosis, bool has_color) {
  constexpr std::size_t widest = 48;  // a longer cell pushes its line's rest to the right
  std::size_t check_width = 0, found_width = 0, wanted_width = 0;
  for (const auto& [check, verdict, found, wanted, fix] : diagnosis.findings) {
    check_width = std::max(check_width, std::min(check.size(), widest));
    found_width = std::max(found_width, std::min(found.size(), widest));
    wanted_width = std::max(wanted_width, std::min(wanted.size(), widest));
  }
  std::string text;
  for (const auto& [check, verdict, found, wanted, fix] : diagnosis.findings) {
    std::string line =
        fmt::format("{:<{}}  {:<{}}", printable(check), check_width, printable(found), found_width);
    if (!wanted.empty() || !fix.empty()) line += fmt::format("  {:<{}}", printable(wanted), wanted_width);
    if (!fix.empty()) line += "  $ " + printable(fix);
    line.erase(line.find_last_not_of(' ') + 1);
    text += fmt::format("{}{:<7}{}  {}\n", has_color ? color_of(verdict) : "", to_string(verdict),
                        has_color ? "\033[0m" : "", line);
  }
  return text + diagnosis.sentence + "\n";
}

io::Json to_json(const Diagnosis& diagnosis, const MachineFacts& machine) {
  io::Json checks = io::Json::array();
  for (const auto& [check, verdict, found, wanted, fix] : diagnosis.findings)
    checks.push_back({{"check", check},
                      {"verdict", to_string(verdict)},
                      {"found", found},
                      {"wanted", wanted},
                      {"fix", fix}});
  return {{"verdict", to_string(diagnosis.verdict)},
          {"exit_code", diagnosis.exit_code()},
          {"sentence", diagnosis.sentence},
          {"checks", checks},
          {"machine", to_json(machine)}};
}

}  // namespace stepvideo::doctor
