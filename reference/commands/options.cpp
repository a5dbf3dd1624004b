#include "commands/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <iostream>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/environment.hpp"
#include "pipeline/process_ranks.hpp"

namespace stepvideo::commands {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

/// The whole text as a number, or RequestError.
template <class T>
void read_number(const char* name, const std::string& text, T& target, const char* kind) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), target);
  bool is_read = error == std::errc{} && end == text.data() + text.size();
  if constexpr (std::floating_point<T>) is_read = is_read && std::isfinite(target);
  require(is_read, [&] { return fmt::format("--{}: '{}' is not {}", name, text, kind); });
}

/// Calls `check`; what it refuses names the flag.
template <class Check>
void name_flag(const char* flag, Check&& check) {
  try {
    check();
  } catch (const RequestError& error) {
    throw RequestError(fmt::format("{}: {}", flag, error.what()));
  }
}

/// Boost spells a flag with or without its dashes, depending on the error.
std::string dashed(const std::string& name) {
  return name.starts_with("--") ? name : "--" + name;
}

}  // namespace

std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  const auto distance = [&](const std::string& candidate) { return edit_distance(word, candidate); };
  const auto nearest = std::ranges::min_element(candidates, {}, distance);
  if (nearest == candidates.end() || distance(*nearest) > std::max<std::size_t>(2, word.size() / 2))
    return {};
  return *nearest;
}

Topology parse_topology(std::string_view text) {
  Topology topology;
  constexpr std::pair<std::string_view, Sharding> shardings[] = {{"sharding=even", Sharding::even},
                                                                 {"sharding=uneven", Sharding::uneven}};
  const auto degree_of = [&](std::string_view name) -> int* {
    if (name == "guidance") return &topology.guidance;
    if (name == "tensor") return &topology.tensor;
    if (name == "ulysses") return &topology.ulysses;
    if (name == "ring") return &topology.ring;
    return nullptr;
  };
  constexpr int largest_degree = 10'000;
  std::set<std::string_view> seen;
  for (std::optional<std::string_view> rest = text; rest;) {
    const auto comma = rest->find(',');
    const auto part = rest->substr(0, comma);
    rest = comma == part.npos ? std::nullopt : std::optional(rest->substr(comma + 1));
    const auto equals = part.find('=');
    const auto sharding = std::ranges::find(shardings, part, &std::pair<std::string_view, Sharding>::first);
    if (sharding != std::end(shardings) && seen.insert("sharding").second) {
      topology.sharding = sharding->second;
      continue;
    }
    int* const degree = equals == part.npos ? nullptr : degree_of(part.substr(0, equals));
    const auto digits = equals == part.npos ? std::string_view{} : part.substr(equals + 1);
    const auto [end, error] = degree != nullptr
                                  ? std::from_chars(digits.data(), digits.data() + digits.size(), *degree)
                                  : std::from_chars_result{nullptr, std::errc::invalid_argument};
    require(error == std::errc{} && end == digits.data() + digits.size() && *degree > 0 &&
                *degree <= largest_degree && seen.insert(part.substr(0, equals)).second,
            [&] {
              return fmt::format(
                  "--topology: '{}' cannot be read; write guidance=G,tensor=T,ulysses=U,ring=R, each once, "
                  "with whole numbers from 1 to {}, and sharding=uneven where shards may differ",
                  part, largest_degree);
            });
  }
  return topology;
}

std::size_t parse_size(const char* flag, const std::string& text) {
  constexpr std::array<std::pair<const char*, double>, 7> units{
      {{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(end, text.data() + text.size());
  if (unit.starts_with(' ')) unit.erase(0, 1);
  double factor = 0;
  for (const auto& [name, bytes] : units)
    if (unit == name) factor = bytes;
  const double bytes = value * factor;
  require(error == std::errc{} && std::isfinite(bytes) && bytes >= 1 &&
              bytes < static_cast<double>(std::numeric_limits<std::int64_t>::max()),
          [&] { return fmt::format("{}: '{}' is not a size; 6GB, 5.5GiB and 500MB are", flag, text); });
  return static_cast<std::size_t>(bytes);
}

FlagParser::FlagParser(std::string command, std::string synopsis)
    : command_(std::move(command)), synopsis_(std::move(synopsis)), description_("Flags", 100) {
  description_.add_options()("help", "print this");
}

FlagParser& FlagParser::common() {
  return common_without_model().require("model");
}

FlagParser& FlagParser::common_without_model() {
  has_common_ = true;
  flag("model", common_.model, "folder of the checkpoint, or of the one component that is needed");
  flag("device", device_,
       "auto, cpu, cuda, cuda:N, or a UUID of nvidia-smi -L [auto: a GPU where a fit one is found]");
  flag("precision", precision_,
       "fp32, bf16, or for the transformer fp8: bf16 with products in fp8 [bf16 on a GPU, fp32 on the CPU]");
  flag(
      "gpu-memory", gpu_memory_,
      "of the GPU's memory, what the run may take in all, as in 12GiB; weights that have no room are fetched "
      "each time they are needed [all of it]");
  flag("gpus", gpus_, "ranks to run on; several run on the CPU, by denoise, decode and generate [1]");
  flag("topology", topology_,
       "guidance=G,tensor=T,ulysses=U,ring=R[,sharding=uneven], whose product is --gpus, or auto [auto: the "
       "plan's best]");
  flag("log-file", common_.log_file, "write events there, one JSON object a line");
  return toggle("quiet", common_.is_quiet, "print nothing but errors");
}

FlagParser& FlagParser::on_transformer() {
  is_on_transformer_ = true;
  flag(
      "numerics", rounding_,
      "release: a run in bf16 or fp8 rounds the time step, RoPE's angles and the first noise to bf16, as the "
      "release does; exact keeps them [exact]");
  return flag(
      "attention", attention_,
      "fp8: the video's attention to itself in fp8 with a run in bf16 or fp8, but in the first step and "
      "the last [as --precision, bf16 with fp8]");
}

FlagParser& FlagParser::on_ranks() {
  is_on_ranks_ = true;
  return on_processes();
}

FlagParser& FlagParser::on_processes() {
  is_on_processes_ = true;
  flag("deadline-factor", common_.deadline_factor,
       "ranks that wait for one name it after so many times the predicted time [3]");
  flag("deadline-floor", common_.deadline_floor_seconds, "and so many seconds [5]");
  return flag("heartbeat", heartbeat_,
              "a process of this run that gives no sign of life for so many seconds counts as stopped; 0 for "
              "never [3]");
}

FlagParser& FlagParser::on_replicas() {
  flag("replicas", common_.replicas,
       "deal the prompts of --prompts to so many groups of ranks, which divide --gpus [1]");
  return on_ranks();
}

FlagParser& FlagParser::add(const char* name, const char* help, Reader reader) {
  description_.add_options()(name, po::value<std::string>()->notifier(std::move(reader)), help);
  return *this;
}

FlagParser& FlagParser::flag(const char* name, std::vector<std::string>& target, const char* help) {
  description_.add_options()(name, po::value(&target)->composing(), help);
  return *this;
}

FlagParser& FlagParser::toggle(const char* name, bool& target, const char* help) {
  description_.add_options()(name, po::bool_switch(&target), help);
  return *this;
}

FlagParser& FlagParser::require(const char* name) {
  required_.emplace_back(name);
  return *this;
}

void FlagParser::require_values(const std::vector<std::string>& arguments) const {
  // Boost would take the next flag for the value that was forgotten.
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    stepvideo::require(*argument != "--", [&] {
      return command_ + ": '--' stands where a flag should; every value follows a --flag";
    });
    const auto* const option =
        argument->starts_with("--") ? description_.find_nothrow(argument->substr(2), false) : nullptr;
    if (option == nullptr || option->semantic()->max_tokens() == 0) continue;
    const auto value = std::next(argument);
    stepvideo::require(value != arguments.end() && !value->starts_with("--"), [&] {
      return fmt::format(
          "{0} has no value; see stepvideo {1} --help (a value that begins with -- is written {0}=VALUE)",
          *argument, command_);
    });
    argument = value;
  }
}

/// They change what is written, and a manifest does not tell of them.
constexpr std::array flags_of_outputs{"checkpoint-every", "keep-latents", "output",       "preview-every",
                                      "preview-path",     "replicas",     "reproducible", "resume"};

bool FlagParser::parse(const std::vector<std::string>& arguments) {
  if (std::ranges::find(arguments, "--help") != arguments.end()) {
    std::cout << "stepvideo " << command_ << ": " << synopsis_ << "\n\n" << description_;
    return false;
  }
  require_values(arguments);
  std::vector<std::string> names;
  for (const auto& option : description_.options()) names.push_back("--" + option->long_name());

  po::variables_map values;
  try {
    using namespace po::command_line_style;
    // No positional arguments, no abbreviations: a script must not depend on which flags exist today.
    const auto parsed = po::command_line_parser(arguments)
                            .options(description_)
                            .positional({})
                            .style(allow_long | long_allow_next | long_allow_adjacent)
                            .run();
    for (const auto& option : parsed.options)
      if (std::ranges::find(flags_of_outputs, option.string_key) != flags_of_outputs.end())
        common_.of_outputs["--" + option.string_key] = option.value.empty() ? "given" : option.value.front();
    po::store(parsed, values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    const auto nearest = nearest_word(dashed(error.get_option_name()), names);
    throw RequestError(fmt::format("unknown flag {} for {}; {}", dashed(error.get_option_name()), command_,
                                   nearest ? "did you mean " + *nearest + "?"
                                           : "it takes " + fmt::format("{}", fmt::join(names, ", "))));
  } catch (const po::too_many_positional_options_error&) {
    throw RequestError(command_ + ": a value stands without its flag; every value follows a --flag");
  } catch (const po::multiple_occurrences& error) {
    throw RequestError(dashed(error.get_option_name()) + " is given more than once; once works");
  } catch (const po::error& error) {
    throw RequestError(fmt::format("{}: {}", command_, error.what()));
  }
  for (const auto& name : required_)
    stepvideo::require(values.contains(name),
                       [&] { return fmt::format("--{} is missing; {} needs it", name, command_); });
  if (has_common_) check_common();
  return true;
}

void FlagParser::check_common() {
  common_.device = place::parse_choice(device_);
  check_ranks();
  // Last: looking for a GPU wakes its driver.
  common_.place = place::find_place(common_.device);
  if (gpu_memory_) common_.place = common_.place.with_budget(parse_size("--gpu-memory", *gpu_memory_));
  check_numerics();
}

void FlagParser::check_numerics() {
  common_.has_precision = precision_.has_value();
  common_.has_attention = attention_.has_value();
  common_.has_numerics = rounding_.has_value();
  pipeline::Numerics& numerics = common_.numerics;
  numerics.precision = common_.place.is_gpu() ? Precision::bf16 : Precision::fp32;
  if (precision_) {
    const auto asked = pipeline::parse_precision(*precision_);
    stepvideo::require(asked.has_value(), [&] {
      return fmt::format("--precision: '{}' is not a precision; fp32, bf16 and fp8 are", *precision_);
    });
    numerics.precision = *asked;
  }
  stepvideo::require(numerics.precision != Precision::fp8 || is_on_transformer_, [&] {
    return fmt::format("--precision fp8 is for the transformer, which {} does not run; fp32 and bf16 work",
                       command_);
  });
  if (attention_) {
    const auto attention = pipeline::parse_precision(*attention_);
    const Precision rest = pipeline::without_fp8(numerics.precision);
    stepvideo::require(attention == Precision::fp8 || attention == rest, [&] {
      return fmt::format("--attention: '{}' does not go with --precision {}; {} does", *attention_,
                         to_string(numerics.precision),
                         rest == Precision::bf16 ? "bf16 or fp8" : to_string(rest));
    });
    numerics.attends_in_fp8 = attention == Precision::fp8;
  }
  if (rounding_) {
    numerics.rounds_as_release = *rounding_ == pipeline::release_numerics;
    stepvideo::require(numerics.rounds_as_release || *rounding_ == pipeline::exact_numerics, [&] {
      return fmt::format("--numerics: '{}' is neither exact nor release, which work", *rounding_);
    });
  }
  pipeline::require_served(numerics, common_.place, common_.ranks);
}

void FlagParser::check_ranks() {
  stepvideo::require(!gpus_ || *gpus_ >= 1,
                     [&] { return fmt::format("--gpus is {}; 1 or more works", *gpus_); });
  const int processes = is_on_processes_ ? launch::launched().ranks : 1, replicas = common_.replicas;
  stepvideo::require(replicas >= 1,
                     [&] { return fmt::format("--replicas is {}; 1 or more works", replicas); });
  if (topology_ && topology_ != "auto") {
    common_.topology = parse_topology(*topology_);
    name_flag("--topology", [&] { require_degrees_are_positive(*common_.topology); });
  }
  const long long of_each = common_.topology && processes == 1 ? common_.topology->ranks() : 1;
  const long long all =
      gpus_.value_or(processes > 1 ? processes : static_cast<int>(std::min(of_each * replicas, 1LL << 30)));
  stepvideo::require(all % replicas == 0, [&] {
    return fmt::format("--replicas {} does not divide --gpus {}; a multiple of it works", replicas, all);
  });
  common_.ranks = static_cast<int>(all / replicas);
  if (common_.topology)
    name_flag("--topology", [&] { require_topology_covers_ranks(*common_.topology, common_.ranks); });
  stepvideo::require(processes == 1 || all == processes, [&] {
    return fmt::format("--gpus {}: the launcher started {} processes, and each is a rank; --gpus {} works",
                       all, processes, processes);
  });
  if (all == 1) return;
  stepvideo::require(is_on_ranks_ || processes > 1, [&] {
    return fmt::format("--gpus {}: {} runs on one rank; leave --gpus and --topology out", all, command_);
  });
  stepvideo::require(common_.device.kind == place::Choice::Kind::cpu, [&] {
    return fmt::format(
        "--gpus {} --device {}: several ranks run on the CPU in this version; --device cpu works",
        common_.ranks, device_);
  });
  stepvideo::require(
      common_.deadline_factor >= 0 && common_.deadline_floor_seconds > 0 && common_.deadline_factor <= 1e6 &&
          common_.deadline_floor_seconds <= 1e6,
      [&] {
        return fmt::format(
            "--deadline-factor is {} and --deadline-floor {}; 0 to 1000000 works, and more than "
            "0 for the floor",
            common_.deadline_factor, common_.deadline_floor_seconds);
      });
  if (!heartbeat_) return;
  stepvideo::require(*heartbeat_ == 0 || (*heartbeat_ >= 1 && *heartbeat_ <= 1e6), [&] {
    return fmt::format("--heartbeat is {}; 1 to 1000000 seconds work, and 0 for never", *heartbeat_);
  });
  if (pipeline::ProcessRanks* const processes = pipeline::process_ranks())
    processes->set_longest_silence(*heartbeat_);
}

void FlagParser::read_value(const char*, const std::string& text, std::string& target) {
  target = text;
}

void FlagParser::read_value(const char* name, const std::string& text, std::filesystem::path& target) {
  stepvideo::require(!text.empty(), [&] { return fmt::format("--{} is empty; it takes a path", name); });
  target = text;
}

void FlagParser::read_value(const char* name, const std::string& text, int& target) {
  read_number(name, text, target, "a whole number");
}

void FlagParser::read_value(const char* name, const std::string& text, std::uint64_t& target) {
  read_number(name, text, target, "a whole number from 0 to 18446744073709551615");
}

void FlagParser::read_value(const char* name, const std::string& text, double& target) {
  read_number(name, text, target, "a finite number");
}

}  // namespace stepvideo::commands
