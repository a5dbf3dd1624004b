// Flags: what every command shares, and how a command line becomes values or one sentence of refusal.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/program_options.hpp>

#include <stepvideo/core/topology.hpp>

#include "pipeline/precision.hpp"
#include "place/place.hpp"
#include "plan/cost_model.hpp"

namespace stepvideo::commands {

namespace po = boost::program_options;

using pipeline::Precision;

/// The flags of every command that runs a model.
struct CommonOptions {
  std::filesystem::path model;
  place::Choice device;  ///< as it was asked for
  place::Place place;    ///< what was found for it
  pipeline::Numerics numerics;
  bool has_precision = false, has_attention = false, has_numerics = false;  ///< whether the flag was given
  int ranks = 1;                                                            ///< of each replica
  int replicas = 1;                  ///< among which the prompts of a batch are dealt
  std::optional<Topology> topology;  ///< as it was asked for; without one, the plan's best
  double deadline_factor = plan::deadline_factor, deadline_floor_seconds = plan::deadline_floor_seconds;
  std::optional<std::filesystem::path> log_file;
  bool is_quiet = false;
  /// The flags given that change what is written and that no manifest tells, by name.
  std::map<std::string, std::string> of_outputs;
};

/// A command's flags: declare them, then parse.
class FlagParser {
 public:
  FlagParser(std::string command, std::string synopsis);

  /// Adds the flags of CommonOptions.
  FlagParser& common();
  /// Adds a flag that takes a value (std::string, path, int, std::uint64_t or double; optional where its
  /// absence matters); `help` states its unit and default.
  template <class T>
  FlagParser& flag(const char* name, T& target, const char* help) {
    return add(name, help, [&target, name](const std::string& text) { read_value(name, text, target); });
  }
  template <class T>
  FlagParser& flag(const char* name, std::optional<T>& target, const char* help) {
    return add(name, help,
               [&target, name](const std::string& text) { read_value(name, text, target.emplace()); });
  }
  /// A flag that may be given several times.
  FlagParser& flag(const char* name, std::vector<std::string>& target, const char* help);
  /// A flag without a value.
  FlagParser& toggle(const char* name, bool& target, const char* help);
  /// A flag that must be given.
  FlagParser& require(const char* name);
  /// common() without the demand for --model; the model is empty where it was not given.
  FlagParser& common_without_model();

  /// Says that the command runs the transformer, which has fp8, and adds the flags of its numerics.
  FlagParser& on_transformer();
  /// Says that the command runs on several ranks, and adds the flags that watch them.
  FlagParser& on_ranks();
  /// The same of one that runs on several ranks only where a launcher started them as processes.
  FlagParser& on_processes();
  /// The same of one that deals its work to replicas of them.
  FlagParser& on_replicas();

  /// Reads the arguments into the targets. Returns false when --help was asked for and printed. Throws
  /// RequestError: an unknown flag (naming the nearest), a value that cannot be read, a flag twice, a flag
  /// missing, a value without its flag.
  bool parse(const std::vector<std::string>& arguments);
  /// What common() read. Valid after parse().
  const CommonOptions& common_options() const { return common_; }

 private:
  using Reader = std::function<void(const std::string& text)>;

  FlagParser& add(const char* name, const char* help, Reader reader);
  void require_values(const std::vector<std::string>& arguments) const;
  void check_common();
  void check_numerics();
  void check_ranks();

  // Each throws RequestError naming the flag and the text when it is not such a value.
  static void read_value(const char* name, const std::string& text, std::string& target);
  static void read_value(const char* name, const std::string& text, std::filesystem::path& target);
  static void read_value(const char* name, const std::string& text, int& target);
  static void read_value(const char* name, const std::string& text, std::uint64_t& target);
  static void read_value(const char* name, const std::string& text, double& target);

  std::string command_;
  std::string synopsis_;
  po::options_description description_;
  std::vector<std::string> required_;
  bool has_common_ = false, is_on_ranks_ = false, is_on_processes_ = false, is_on_transformer_ = false;
  CommonOptions common_;
  std::string device_ = "auto";
  std::optional<std::string> precision_, attention_, rounding_, gpu_memory_;
  std::optional<int> gpus_;
  std::optional<double> heartbeat_;
  std::optional<std::string> topology_;
};

/// "guidance=2,tensor=1,ulysses=5,ring=1,sharding=uneven", as to_string() writes it; degrees left out are 1,
/// shards even. Throws RequestError naming --topology.
Topology parse_topology(std::string_view text);

/// "6GB", "500 MB", "5.5GiB", or bytes. Throws RequestError naming the flag.
std::size_t parse_size(const char* flag, const std::string& text);

/// The candidate nearest to `word` by edit distance, or nothing when none is near.
std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace stepvideo::commands
