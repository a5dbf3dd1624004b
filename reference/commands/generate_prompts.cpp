#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/generate_wishes.hpp"
#include "io/json.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

void read_object(const io::Json& object, const std::string& where, PromptLine& line) {
  Wishes& wishes = line.wishes;
  const auto reader = [&](auto& target) {
    return [&](const char* name) {
      using Value = typename std::remove_reference_t<decltype(target)>::value_type;
      target = io::field<Value>(object, where, name);
    };
  };
  const std::map<std::string, std::function<void(const char*)>> readers{
      {"prompt", reader(wishes.prompt)},
      {"prompt_suffix", reader(wishes.prompt_suffix)},
      {"negative", reader(wishes.negative)},
      {"seed",
       [&](const char* name) {
         if (object.at(name).is_string())
           wishes.sampling.seed = parse_seed(where + ": field \"seed\"", object.at(name).get<std::string>());
         else
           wishes.sampling.seed = SeedWish{io::field<std::uint64_t>(object, where, name)};
       }},
      {"frames", reader(wishes.sampling.frames)},
      {"height", reader(wishes.sampling.height)},
      {"width", reader(wishes.sampling.width)},
      {"steps", reader(wishes.sampling.steps)},
      {"cfg_scale", reader(wishes.sampling.cfg_scale)},
      {"time_shift", reader(wishes.sampling.time_shift)},
      {"output", [&](const char* name) { line.output = io::field<std::string>(object, where, name); }}};
  for (const auto& [name, value] : object.items()) {
    const auto found = readers.find(name);
    if (found == readers.end()) {
      std::vector<std::string> names;
      for (const auto& [known, read] : readers) names.push_back(known);
      const auto nearest = nearest_word(name, names);
      throw RequestError(fmt::format(
          "{}: unknown field {}; {}", where, io::in_quotes(name),
          nearest ? "did you mean " + *nearest + "?" : fmt::format("there are {}", fmt::join(names, ", "))));
    }
    found->second(found->first.c_str());
  }
  require(wishes.prompt.has_value(), [&] { return where + " has no field \"prompt\"; it needs one"; });
  const bool is_name = fs::path(line.output).filename() == line.output && !line.output.empty() &&
                       line.output != "." && line.output != "..";
  require(!object.contains("output") || is_name, [&] {
    return fmt::format("{}: output {} is no file name; the file comes into the folder --output", where,
                       io::in_quotes(line.output));
  });
}

/// The length of the white space or mark without a width that `text` begins with, 0 where it does not.
std::size_t space_length(std::string_view text) {
  // Byte order mark, zero width space, no-break spaces, the widths of typography, the one of Chinese.
  constexpr std::array<std::string_view, 4> spaces{"\xEF\xBB\xBF", "\xC2\xA0", "\xE3\x80\x80",
                                                   "\xE1\x9A\x80"};
  if (text.empty()) return 0;
  if (text[0] == ' ' || text[0] == '\t') return 1;
  for (const std::string_view space : spaces)
    if (text.starts_with(space)) return space.size();
  if (text.size() < 3 || text[0] != '\xE2') return 0;
  const auto second = static_cast<unsigned char>(text[1]), third = static_cast<unsigned char>(text[2]);
  const bool is_space = second == 0x80 ? third <= 0x8B || third == 0xAF : second == 0x81 && third == 0x9F;
  return is_space ? 3 : 0;  // U+2000 to U+200B, U+202F, U+205F
}

std::string_view without_space(std::string_view text) {
  while (const std::size_t length = space_length(text)) text.remove_prefix(length);
  for (bool is_shorter = true; is_shorter && !text.empty();) {
    is_shorter = false;
    for (const std::size_t length : {std::size_t{1}, std::size_t{2}, std::size_t{3}})
      if (text.size() >= length && space_length(text.substr(text.size() - length)) == length) {
        text.remove_suffix(length);
        is_shorter = true;
        break;
      }
  }
  return text;
}

/// Throws RequestError naming `where` for what no text in UTF-8 holds.
void require_text(std::string_view text, const std::string& where) {
  require(text.find('\0') == text.npos && !text.starts_with("\xFF\xFE") && !text.starts_with("\xFE\xFF"),
          [&] {
            return where + " is no text in UTF-8: it looks like UTF-16 or a binary file; save it as UTF-8";
          });
  text::require_valid_utf8(text, where);
  const auto control = std::ranges::find_if(
      text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; });
  require(control == text.end(), [&] {
    return fmt::format("{} holds the control character \\x{:02x}; a prompt of visible text works", where,
                       static_cast<unsigned char>(*control));
  });
}

/// A whole file that is one JSON array: of prompts, or of what a line's object holds.
std::vector<PromptLine> read_array(const io::Json& array, const std::string& file) {
  std::vector<PromptLine> lines;
  for (const io::Json& element : array) {
    PromptLine line{.number = static_cast<int>(lines.size()) + 1, .where = {}, .wishes = {}, .output = {}};
    line.where = fmt::format("{} element {}", file, line.number);
    require(element.is_string() || element.is_object(), [&] {
      return fmt::format("{} is {}; a prompt or an object with one works", line.where, io::excerpt(element));
    });
    if (element.is_string())
      line.wishes.prompt = element.get<std::string>();
    else
      read_object(element, line.where, line);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<PromptLine> read_lines(std::string_view text, const std::string& file) {
  std::vector<PromptLine> lines;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view whole = text.substr(0, end), prompt = without_space(whole);
    const std::size_t ending = text.substr(end).starts_with("\r\n") ? 2 : 1;
    text.remove_prefix(std::min(end + ending, text.size()));
    if (prompt.empty()) continue;
    PromptLine line{
        .number = number, .where = fmt::format("{} line {}", file, number), .wishes = {}, .output = {}};
    require_text(prompt, line.where);
    if (prompt.starts_with('{'))
      read_object(io::parse_json(prompt, line.where), line.where, line);
    else
      line.wishes.prompt = prompt;
    lines.push_back(std::move(line));
  }
  return lines;
}

/// The file without the lines before its first text.
std::string_view from_first_text(std::string_view text) {
  while (!text.empty() && (space_length(text) > 0 || text[0] == '\r' || text[0] == '\n'))
    text.remove_prefix(std::max<std::size_t>(space_length(text), 1));
  return text;
}

/// Whether a file is meant as a JSON array: text in brackets may begin a prompt, too.
bool is_array(std::string_view text) {
  constexpr const char* json_space = " \t\r\n";
  if (!text.starts_with('[')) return false;
  const auto next = text.find_first_not_of(json_space, 1);
  return next == text.npos || text[next] == '{' || text[next] == '"' || text[next] == ']';
}

}  // namespace

std::vector<PromptLine> read_prompts(const fs::path& file) {
  std::error_code unused;
  require(fs::exists(file, unused) && !fs::is_directory(file, unused), [&] {
    return fmt::format("--prompts: {} is not there or a folder; a file with a prompt a line works",
                       file.string());
  });
  std::ifstream stream(file, std::ios::binary);
  require(stream.is_open(), [&] { return fmt::format("--prompts: {} cannot be opened", file.string()); });
  constexpr std::size_t most_bytes = std::size_t{1} << 26;  // a pipe may have no end
  std::string whole;
  for (std::array<char, 1 << 16> part; stream && whole.size() <= most_bytes;) {
    stream.read(part.data(), std::ssize(part));
    whole.append(part.data(), static_cast<std::size_t>(stream.gcount()));
  }
  require(!stream.bad(),
          [&] { return fmt::format("--prompts: {} cannot be read to its end", file.string()); });
  require(whole.size() <= most_bytes, [&] {
    return fmt::format("--prompts: {} has more than {} MiB; several files work", file.string(),
                       most_bytes >> 20);
  });
  const std::string_view text = from_first_text(whole);
  const auto lines = is_array(text) ? read_array(io::parse_json(text, file.string()), file.string())
                                    : read_lines(whole, file.string());
  require(!lines.empty(),
          [&] { return fmt::format("--prompts: {} holds no prompt; one a line works", file.string()); });
  return lines;
}

}  // namespace stepvideo::commands
