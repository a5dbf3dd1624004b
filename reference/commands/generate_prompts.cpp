#include <fstream>
#include <iterator>
#include <map>

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
      {"negative", reader(wishes.negative)},
      {"seed", reader(wishes.sampling.seed)},
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

}  // namespace

std::vector<PromptLine> read_prompts(const fs::path& file) {
  std::error_code unused;
  require(fs::is_regular_file(file, unused), [&] {
    return fmt::format("--prompts: {} is not there or no file; a prompt a line works", file.string());
  });
  std::ifstream stream(file, std::ios::binary);
  require(stream.is_open(), [&] { return fmt::format("--prompts: {} cannot be opened", file.string()); });
  std::vector<PromptLine> lines;
  std::string text;
  for (int number = 1; std::getline(stream, text); ++number) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (number == 1 && text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
    while (!text.empty() && (text.back() == '\r' || text.back() == ' ' || text.back() == '\t'))
      text.pop_back();
    text.erase(0, text.find_first_not_of(" \t"));
    if (text.empty()) continue;
    const std::string where = fmt::format("{} line {}", file.string(), number);
    text::require_valid_utf8(text, where);
    PromptLine line{.number = number, .wishes = {}, .output = {}};
    if (text.starts_with('{'))
      read_object(io::parse_json(text, where), where, line);
    else
      line.wishes.prompt = text;
    lines.push_back(std::move(line));
  }
  require(!stream.bad(),
          [&] { return fmt::format("--prompts: {} cannot be read to its end", file.string()); });
  require(!lines.empty(),
          [&] { return fmt::format("--prompts: {} holds no prompt; one a line works", file.string()); });
  return lines;
}

}  // namespace stepvideo::commands
