#include "io/json.hpp"

#include <fstream>
#include <iterator>
#include <string>
#include <unordered_set>
#include <vector>

#include "io/lfs_pointer.hpp"
#include "io/printable.hpp"

namespace stepvideo::io {

namespace {

/// Looks at a text before it is parsed: nlohmann's own callbacks would take time with the square of an
/// object's members. Ends at the first error, of which Json::parse tells the place.
class JsonCheck final : public nlohmann::json_sax<Json> {
 public:
  explicit JsonCheck(const std::string& source) : source_(source) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    names_.emplace_back();
    return enter();
  }
  bool key(string_t& name) override {
    require(names_.back().insert(name).second,
            [&] { return source_ + " holds the name " + in_quotes(name) + " twice; names must differ"; });
    return true;
  }
  bool end_object() override {
    names_.pop_back();
    return end_array();
  }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool enter() {
    constexpr int deepest = 64;
    require(++depth_ <= deepest,
            [&] { return source_ + " nests JSON deeper than " + std::to_string(deepest) + " levels"; });
    return true;
  }

  const std::string& source_;
  int depth_ = 0;
  std::vector<std::unordered_set<std::string>> names_;  // of the objects that are open
};

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  JsonCheck check(source);
  Json::sax_parse(text.begin(), text.end(), &check);
  try {
    return Json::parse(text.begin(), text.end());
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
  require_no_lfs_pointer(text, path);
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
