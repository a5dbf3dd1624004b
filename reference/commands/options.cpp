#include "commands/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iostream>
#include <utility>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/flag_help.hpp"
#include "io/extension.hpp"
#include "io/printable.hpp"

namespace stepvideo::commands {
namespace {

/// The whole text as a number, or RequestError.
template <class T>
void read_number(const char* name, const std::string& text, T& target, const char* kind) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), target);
  bool is_read = error == std::errc{} && end == text.data() + text.size();
  if constexpr (std::floating_point<T>) is_read = is_read && std::isfinite(target);
  require(is_read, [&] { return fmt::format("--{}: '{}' is not {}", name, text, kind); });
}

/// Boost spells a flag with or without its dashes, depending on the error.
std::string dashed(const std::string& name) {
  return name.starts_with("--") ? name : "--" + name;
}

/// They change what is written, and a manifest does not tell of them.
constexpr std::array flags_of_outputs{"checkpoint-every", "keep-latents", "output",       "preview-every",
                                      "preview-path",     "replicas",     "reproducible", "resume"};

/// Where it is set, a command is run for its flags alone.
thread_local std::vector<FlagInfo>* asked_for_flags = nullptr;

std::vector<std::string> commands_with_flag(std::string_view name) {
  std::vector<std::string> commands;
  for (const auto& command : all_commands()) {
    std::vector<FlagInfo> flags;
    asked_for_flags = &flags;
    command.run({});
    asked_for_flags = nullptr;
    if (std::ranges::find(flags, name, &FlagInfo::name) != flags.end()) commands.emplace_back(command.name);
  }
  return commands;
}

}  // namespace

FlagParser::FlagParser(std::string command, std::string synopsis)
    : command_(std::move(command)), synopsis_(std::move(synopsis)) {}

FlagParser& FlagParser::add(const char* name, std::string value, const char* help, Reader reader) {
  flags_.push_back({name, std::move(value), help, topic_});
  description_.add_options()(name, po::value<std::string>()->notifier(std::move(reader)), help);
  return *this;
}

FlagParser& FlagParser::flag(const char* name, std::vector<std::string>& target, const char* help) {
  flags_.push_back({name, "TEXT", help, topic_});
  description_.add_options()(name, po::value(&target)->composing(), help);
  return *this;
}

FlagParser& FlagParser::toggle(const char* name, bool& target, const char* help) {
  flags_.push_back({name, "", help, topic_});
  description_.add_options()(name, po::bool_switch(&target), help);
  return *this;
}

FlagParser& FlagParser::offering(std::vector<std::string> values) {
  flags_.back().choices = std::move(values);
  return *this;
}

FlagParser& FlagParser::require(const char* name, std::vector<std::string> unless) {
  required_.push_back({name, std::move(unless)});
  return *this;
}

FlagParser& FlagParser::words(std::vector<std::string>& target) {
  words_ = &target;
  return *this;
}

FlagParser& FlagParser::everyday(std::vector<std::string> names) {
  everyday_ = std::move(names);
  return *this;
}

const FlagInfo* FlagParser::find(std::string_view name) const {
  const auto found = std::ranges::find(flags_, name, &FlagInfo::name);
  return found == flags_.end() ? nullptr : &*found;
}

bool FlagParser::is_short_flag(std::string_view word) const {
  return find(long_name_of(word)) != nullptr;
}

std::vector<std::string> FlagParser::sort_out(const std::vector<std::string>& arguments) const {
  WordPlace place{.command = command_, .flags = &flags_};
  for (const auto& [name, unless] : required_) place.required.push_back(name);
  const auto is_flag = [&](const std::string& word) {
    return (word.starts_with("--") && word != "--") || is_short_flag(word.substr(0, word.find('=')));
  };
  std::vector<std::string> sorted;
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    if (words_ != nullptr && !argument->starts_with("-")) {
      words_->push_back(*argument);
      continue;
    }
    if (!is_flag(*argument))
      throw RequestError(
          stray_words_text(place, {argument, std::find_if(argument, arguments.end(), is_flag)}));
    const auto equals = argument->find('=');
    const std::string as_given = argument->substr(0, equals);
    const std::string name = as_given.starts_with("--") ? as_given.substr(2) : long_name_of(as_given);
    const FlagInfo* const flag = find(name);
    const auto next = std::next(argument);
    std::optional<std::string> value;
    if (equals != argument->npos)
      value = argument->substr(equals + 1);
    else if (next != arguments.end() && !is_flag(*next))
      value = *next;
    if (flag == nullptr) {
      place.elsewhere = commands_with_flag(name);
      throw RequestError(unknown_flag_text(place, as_given, value.value_or("")));
    }
    place.given.push_back(name);
    place.last_value = value.value_or("");
    if (flag->value.empty()) {
      stepvideo::require(equals == argument->npos, [&] {
        return fmt::format("{} takes no value; {} alone works", io::printable(*argument), as_given);
      });
      sorted.push_back("--" + name);
      continue;
    }
    stepvideo::require(value.has_value(), [&] {
      return fmt::format(
          "{0} has no value; see stepvideo {1} --help (a value that begins like a flag is written {0}=VALUE)",
          as_given, command_);
    });
    // Boost takes no empty value behind '=', and no value that looks like a flag without it.
    if (value->empty())
      sorted.insert(sorted.end(), {"--" + name, ""});
    else
      sorted.push_back("--" + name + "=" + *value);
    if (equals == argument->npos) argument = next;
  }
  return sorted;
}

void FlagParser::read(const std::vector<std::string>& flags_and_values) {
  po::variables_map values;
  try {
    using namespace po::command_line_style;
    // No positional arguments, no abbreviations: a script must not depend on which flags exist today.
    const auto parsed = po::command_line_parser(flags_and_values)
                            .options(description_)
                            .positional({})
                            .style(allow_long | long_allow_next | long_allow_adjacent)
                            .run();
    for (const auto& option : parsed.options)
      if (std::ranges::find(flags_of_outputs, option.string_key) != flags_of_outputs.end())
        common_.of_outputs["--" + option.string_key] = option.value.empty() ? "given" : option.value.front();
    po::store(parsed, values);
    po::notify(values);
  } catch (const po::multiple_occurrences& error) {
    throw RequestError(dashed(error.get_option_name()) + " is given more than once; once works");
  } catch (const po::error& error) {
    throw RequestError(fmt::format("{}: {}", command_, error.what()));
  }
  std::vector<std::string> missing;
  const auto is_given = [&](const std::string& name) {
    return values.contains(name) && !values[name].defaulted();
  };
  for (const auto& [name, unless] : required_)
    if (!is_given(name) && std::ranges::none_of(unless, is_given)) missing.push_back(name);
  stepvideo::require(missing.empty(), [&] { return missing_flags_text(command_, missing); });
}

bool FlagParser::parse(const std::vector<std::string>& arguments) {
  if (asked_for_flags != nullptr) {
    *asked_for_flags = flags_;
    return false;
  }
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument)
    if (*argument == "--help" || *argument == "-h") {
      const auto next = std::next(argument);
      print_help(next == arguments.end() ? "" : *next);
      return false;
    }
  read(sort_out(arguments));
  check_threads();
  if (has_common_) check_common();
  return true;
}

void FlagParser::print_help(const std::string& how_much) const {
  if (how_much == for_completion)
    std::cout << completion_text(flags_);
  else if (how_much == "all")
    std::cout << help_by_topic(command_, synopsis_, flags_);
  else
    std::cout << help_on_a_screen(command_, synopsis_, flags_, everyday_);
}

std::string FlagParser::chosen(const char* name, const std::string& text,
                               const std::vector<std::string>& choices) {
  const std::string word = io::lower_case(text);
  stepvideo::require(std::ranges::find(choices, word) != choices.end(), [&] {
    return fmt::format("--{}: '{}' is not one of {}", name, io::printable(text), in_words(choices));
  });
  return word;
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

void FlagParser::read_value(const char* name, const std::string& text, SeedWish& target) {
  target = parse_seed(dashed(name), text);
}

}  // namespace stepvideo::commands
