// Flags: what every command shares, and how a command line becomes values or one sentence of refusal.
#pragma once
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/program_options.hpp>

#include <stepvideo/core/topology.hpp>

#include "commands/flag_words.hpp"
#include "commands/seed.hpp"
#include "pipeline/precision.hpp"
#include "pipeline/ranks.hpp"
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
  int replicas = 1;                    ///< among which the prompts of a batch are dealt
  std::optional<Topology> topology;    ///< as it was asked for; without one, the plan's best
  pipeline::ExchangeOptions exchange;  ///< between GPUs
  double deadline_factor = plan::deadline_factor, deadline_floor_seconds = plan::deadline_floor_seconds;
  std::optional<std::filesystem::path> log_file;
  std::optional<int> threads;  ///< of the CPU, where it was said
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
  /// Adds a flag that takes a value (std::string, path, int, std::uint64_t, double or SeedWish; optional
  /// where its absence matters); `help` states its unit and default: what stands before its first ';' must do
  /// alone.
  template <class T>
  FlagParser& flag(const char* name, T& target, const char* help) {
    return add(name, value_of(target), help,
               [&target, name](const std::string& text) { read_value(name, text, target); });
  }
  template <class T>
  FlagParser& flag(const char* name, std::optional<T>& target, const char* help) {
    return add(name, value_of(T()), help,
               [&target, name](const std::string& text) { read_value(name, text, target.emplace()); });
  }
  /// A flag whose value is one of `choices`, in capitals or not; the target gets it in lower case.
  template <class T>
  FlagParser& choice(const char* name, T& target, std::vector<std::string> choices, const char* help) {
    return add(name, "WORD", help,
               [&target, name, choices](const std::string& text) { target = chosen(name, text, choices); })
        .offering(choices);
  }
  /// A flag that may be given several times.
  FlagParser& flag(const char* name, std::vector<std::string>& target, const char* help);
  /// A flag without a value.
  FlagParser& toggle(const char* name, bool& target, const char* help);
  /// Values of the last flag that are worth offering, though others may work.
  FlagParser& offering(std::vector<std::string> values);
  /// A flag that must be given, unless one of the others is.
  FlagParser& require(const char* name, std::vector<std::string> unless = {});
  /// Words without a flag come there; where nobody says so, there may be none.
  FlagParser& words(std::vector<std::string>& target);
  /// What --help shows, in this order; the rest is --help all's. Without it --help shows flags without a
  /// topic and some that every command has.
  FlagParser& everyday(std::vector<std::string> names);

  /// While it lives, flags are added under a heading of --help all.
  class Topic {
   public:
    Topic(std::string& current, std::string name) : current_(current), before_(std::move(current)) {
      current_ = std::move(name);
    }
    Topic(const Topic&) = delete;
    Topic& operator=(const Topic&) = delete;
    ~Topic() { current_ = before_; }

   private:
    std::string& current_;
    std::string before_;
  };
  [[nodiscard]] Topic topic(std::string name) { return {topic_, std::move(name)}; }

  /// Adds --threads, which parse() obeys.
  FlagParser& on_threads();
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
  /// RequestError: an unknown flag (naming the one that is meant), a value that cannot be read, a flag twice,
  /// flags missing (all of them), a word without its flag (naming the one it may belong to).
  bool parse(const std::vector<std::string>& arguments);
  /// What common() read. Valid after parse().
  const CommonOptions& common_options() const { return common_; }

 private:
  using Reader = std::function<void(const std::string& text)>;

  FlagParser& add(const char* name, std::string value, const char* help, Reader reader);
  const FlagInfo* find(std::string_view name) const;
  bool is_short_flag(std::string_view word) const;
  /// Flags and their values as Boost reads them, short ones spelled out; other words go to words()'s target.
  std::vector<std::string> sort_out(const std::vector<std::string>& arguments) const;
  void read(const std::vector<std::string>& flags_and_values);
  void print_help(const std::string& how_much) const;
  void check_common();
  void check_threads();
  void check_numerics();
  void check_ranks();
  void find_places();

  // What stands for a value in help.
  static const char* value_of(const std::string&) { return "TEXT"; }
  static const char* value_of(const std::filesystem::path&) { return "PATH"; }
  static const char* value_of(double) { return "X"; }
  static const char* value_of(const SeedWish&) { return "N"; }
  template <std::integral T>
  static const char* value_of(T) {
    return "N";
  }
  static std::string chosen(const char* name, const std::string& text,
                            const std::vector<std::string>& choices);
  // Each throws RequestError naming the flag and the text when it is not such a value.
  static void read_value(const char* name, const std::string& text, std::string& target);
  static void read_value(const char* name, const std::string& text, std::filesystem::path& target);
  static void read_value(const char* name, const std::string& text, int& target);
  static void read_value(const char* name, const std::string& text, std::uint64_t& target);
  static void read_value(const char* name, const std::string& text, double& target);
  static void read_value(const char* name, const std::string& text, SeedWish& target);

  std::string command_;
  std::string synopsis_;
  po::options_description description_;
  std::vector<FlagInfo> flags_;
  std::string topic_;
  std::vector<std::string> everyday_;
  std::vector<std::pair<std::string, std::vector<std::string>>> required_;  ///< and what makes up for it
  std::vector<std::string>* words_ = nullptr;
  bool has_common_ = false, is_on_ranks_ = false, is_on_processes_ = false, is_on_transformer_ = false;
  CommonOptions common_;
  std::string device_ = "auto";
  std::optional<std::string> precision_, attention_, rounding_, gpu_memory_;
  std::optional<int> gpus_, threads_;
  std::optional<double> heartbeat_;
  std::optional<std::string> exchange_, nccl_buffer_;
  std::optional<int> nccl_ctas_;
  bool shares_gpus_ = false;
  std::optional<std::string> topology_;
};

}  // namespace stepvideo::commands
