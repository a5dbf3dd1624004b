#include "io/json.hpp"

#include <fstream>
#include <iterator>
#include <set>

#include "io/printable.hpp"

namespace stepvideo::io {

Json parse_json(std::string_view text, const std::string& source) {
  constexpr int deepest = 64;
  int depth = 0;
  std::vector<std::set<std::string>> names;  // of the objects that are open
  const auto check = [&](int, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
        names.emplace_back();
        [[fallthrough]];
      case Json::parse_event_t::array_start:
        require(++depth <= deepest,
                [&] { return source + " nests JSON deeper than " + std::to_string(deepest) + " levels"; });
        break;
      case Json::parse_event_t::object_end:
        names.pop_back();
        [[fallthrough]];
      case Json::parse_event_t::array_end:
        --depth;
        break;
      case Json::parse_event_t::key:
        require(names.back().insert(parsed.get<std::string>()).second, [&] {
          return source + " holds the name " + in_quotes(parsed.get<std::string>()) +
                 " twice; names must differ";
        });
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const Json::parse_error& error) {
    throw RequestError(source + " is not valid JSON (reading stopped at byte " + std::to_string(error.byte) +
                       ")");
  } catch (const Json::exception&) {
    throw RequestError(source + " is not valid JSON (a number in it is out of range)");
  }
}

Json read_json(const std::filesystem::path& path) {
  std::error_code unused;
  require(std::filesystem::is_regular_file(path, unused),
          [&] { return path.string() + " is not there; a JSON file was looked for"; });
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), [&] { return path.string() + " cannot be opened for reading"; });
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  require(!file.bad(), [&] { return path.string() + " cannot be read to its end"; });
  return parse_json(text, path.string());
}

std::string in_quotes(std::string_view name) {
  constexpr std::size_t longest = 256;
  const std::string cut =
      name.size() > longest ? std::string(name.substr(0, longest)) + "..." : std::string(name);
  return printable(Json(cut).dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string excerpt(const Json& value) {
  constexpr std::size_t longest = 80;
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > longest) {
    std::size_t end = longest;
    while ((static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;  // not within a character
    text.resize(end);
    text += "...";
  }
  return printable(text);
}

}  // namespace stepvideo::io
