#include "commands/flag_help.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace stepvideo::commands {
namespace {

constexpr std::size_t columns = 80;

/// Words in lines that begin in column `indent`; the first line is begun already.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::istringstream words(text);
  std::string result, word;
  std::size_t column = indent;
  while (words >> word) {
    if (column > indent && column + 1 + word.size() > columns) {
      result += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result;
}

/// "  -p, --prompt TEXT"
std::string left_side(const FlagInfo& flag) {
  const std::string short_flag = short_flag_of(flag.name);
  return fmt::format("  {:<4}--{}{}", short_flag.empty() ? "" : short_flag + ",", flag.name,
                     flag.value.empty() ? "" : " " + flag.value);
}

/// Up to the first ';', and the default in brackets at the end.
std::string in_short(const std::string& help) {
  const auto bracket = help.ends_with(']') ? help.rfind('[') : help.npos;
  const auto semicolon = help.find(';');
  if (semicolon == help.npos || semicolon > bracket) return help;
  return help.substr(0, semicolon) + (bracket == help.npos ? "" : " " + help.substr(bracket));
}

std::string list(const std::vector<FlagInfo>& flags, bool is_short) {
  std::size_t width = 0;
  for (const FlagInfo& flag : flags) width = std::max(width, left_side(flag).size() + 2);
  std::string text;
  for (const FlagInfo& flag : flags)
    text += fmt::format("{:<{}}{}\n", left_side(flag), width,
                        wrapped(is_short ? in_short(flag.help) : flag.help, width));
  return text;
}

std::string title(const std::string& command, const std::string& synopsis) {
  return wrapped(fmt::format("stepvideo {}: {}", command, synopsis), 0) + "\n";
}

}  // namespace

std::string help_on_a_screen(const std::string& command, const std::string& synopsis,
                             const std::vector<FlagInfo>& flags, const std::vector<std::string>& everyday) {
  std::vector<FlagInfo> shown;
  for (const auto& name : everyday)
    if (const auto flag = std::ranges::find(flags, name, &FlagInfo::name); flag != flags.end())
      shown.push_back(*flag);
  if (everyday.empty())
    std::ranges::copy_if(flags, std::back_inserter(shown), [](const FlagInfo& flag) {
      constexpr std::string_view of_every_command[] = {"model", "device", "precision", "overwrite", "quiet"};
      return flag.topic.empty() ||
             std::ranges::find(of_every_command, flag.name) != std::end(of_every_command);
    });
  const std::size_t more = flags.size() - shown.size();
  return title(command, synopsis) + list(shown, true) +
         fmt::format(
             "stepvideo {} --help all {}\n", command,
             more > 0 ? fmt::format("has {} more flags, and more of these", more) : "says more of them");
}

std::string help_by_topic(const std::string& command, const std::string& synopsis,
                          const std::vector<FlagInfo>& flags) {
  std::vector<std::string> topics{""};
  for (const FlagInfo& flag : flags)
    if (std::ranges::find(topics, flag.topic) == topics.end()) topics.push_back(flag.topic);
  std::string text = title(command, synopsis);
  for (const auto& topic : topics) {
    std::vector<FlagInfo> of_topic;
    std::ranges::copy_if(flags, std::back_inserter(of_topic),
                         [&](const FlagInfo& flag) { return flag.topic == topic; });
    if (!of_topic.empty()) text += '\n' + (topic.empty() ? topic : topic + ":\n") + list(of_topic, false);
  }
  return text;
}

std::string completion_text(const std::vector<FlagInfo>& flags) {
  std::string text = "--help all\n";
  for (const FlagInfo& flag : flags) {
    text += "--" + flag.name;
    if (!flag.choices.empty())
      text += fmt::format(" {}", fmt::join(flag.choices, " "));
    else if (!flag.value.empty())
      text += flag.value == "PATH" ? " PATH" : " VALUE";
    text += '\n';
  }
  return text;
}

}  // namespace stepvideo::commands
