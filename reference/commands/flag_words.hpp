// What to say where a word of a command line is not understood: what it may be, and where it may belong.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stepvideo::commands {

/// A flag as help, completion and messages tell of it.
struct FlagInfo {
  std::string name;   ///< without its dashes
  std::string value;  ///< what stands for its value: "N", "X", "TEXT", "WORD" or "PATH"; empty: it takes none
  std::string help, topic;
  std::vector<std::string> choices = {};  ///< values worth offering
};

/// The candidate nearest to `word` by edit distance, or nothing when none is near.
std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& candidates);

/// "a", "a and b", "a, b and c".
std::string in_words(const std::vector<std::string>& list);

/// "prompt" for "-p"; empty for what is no short flag. They are as other programs have them.
std::string long_name_of(std::string_view short_flag);
/// "-p" for "prompt"; empty where there is none.
std::string short_flag_of(std::string_view name);

/// Where a command line stands when a word is not understood.
struct WordPlace {
  std::string command;
  const std::vector<FlagInfo>* flags = nullptr;
  std::vector<std::string> required = {};   ///< names of flags
  std::vector<std::string> given = {};      ///< names of flags, the last one in front of the word
  std::string last_value = {};              ///< of the last one
  std::vector<std::string> elsewhere = {};  ///< commands that have the flag that this one has not
};

/// The sentence about a flag that the command has not: what it is called here, the nearest by spelling, whose
/// it is, or where they are listed. `value` is what was given with it.
std::string unknown_flag_text(const WordPlace& place, const std::string& flag, const std::string& value);

/// The sentence about words that stand where a flag should.
std::string stray_words_text(const WordPlace& place, const std::vector<std::string>& words);

/// "--model and --output are missing; generate needs them".
std::string missing_flags_text(const std::string& command, const std::vector<std::string>& names);

/// The sentence about a command that there is not: the one that is meant or near, or all.
std::string unknown_command_text(const std::string& word, const std::vector<std::string>& commands);

}  // namespace stepvideo::commands
