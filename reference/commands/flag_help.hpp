// What --help prints.
#pragma once
#include <string>
#include <vector>

#include "commands/flag_words.hpp"

namespace stepvideo::commands {

/// The word behind --help that asks for completion_text().
inline constexpr auto for_completion = "completion";

/// What most people need, in 24 lines of 80 columns: the flags named `everyday`, or, where none are, the
/// command's own and some that all have; each as far as its help's first ';', with its default.
std::string help_on_a_screen(const std::string& command, const std::string& synopsis,
                             const std::vector<FlagInfo>& flags, const std::vector<std::string>& everyday);

/// Every flag under the heading of its topic, the command's own first.
std::string help_by_topic(const std::string& command, const std::string& synopsis,
                          const std::vector<FlagInfo>& flags);

/// A line a flag for a shell: the flag, and behind it what may be offered for its value, or "PATH" or
/// "VALUE" where a path or anything else is due.
std::string completion_text(const std::vector<FlagInfo>& flags);

}  // namespace stepvideo::commands
