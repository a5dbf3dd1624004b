// JSON files, read strictly, with errors that name the file and the field.
#pragma once
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <stepvideo/core/error.hpp>

namespace stepvideo::io {

using Json = nlohmann::json;

/// Parses `text`; `source` names it in errors. Throws RequestError: not JSON (with the byte where reading
/// stopped), invalid UTF-8, a name twice in one object, nested deeper than 64.
Json parse_json(std::string_view text, const std::string& source);

/// Parses the file. Throws RequestError naming it: not there, not readable, and as parse_json.
Json read_json(const std::filesystem::path& path);

/// The name as a JSON string: in quotes, with control characters escaped, so that no file can put its own
/// lines into a message; a name of more than 256 bytes is cut.
std::string in_quotes(std::string_view name);
/// The beginning of a value, for a message.
std::string excerpt(const Json& value);

namespace detail {

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

/// What a field of type T is called in a message.
template <class T>
std::string expected_kind() {
  if constexpr (std::same_as<T, bool>)
    return "true or false";
  else if constexpr (std::integral<T>)
    return "a whole number in range";
  else if constexpr (std::floating_point<T>)
    return "a number";
  else if constexpr (std::same_as<T, std::string>)
    return "a string";
  else if constexpr (is_vector<T>::value)
    return "a list, each entry " + expected_kind<typename T::value_type>();
  else
    return "an object";
}

/// Whether the value is a T without losing anything: 2.5 is not an int, "1" is not a number.
template <class T>
bool holds(const Json& value) {
  if constexpr (std::same_as<T, bool>) {
    return value.is_boolean();
  } else if constexpr (std::integral<T>) {
    if (value.is_number_unsigned()) return std::in_range<T>(value.template get<std::uint64_t>());
    return value.is_number_integer() && std::in_range<T>(value.template get<std::int64_t>());
  } else if constexpr (std::floating_point<T>) {
    return value.is_number();
  } else if constexpr (std::same_as<T, std::string>) {
    return value.is_string();
  } else if constexpr (is_vector<T>::value) {
    if (!value.is_array()) return false;
    for (const Json& entry : value)
      if (!holds<typename T::value_type>(entry)) return false;
    return true;
  } else {
    static_assert(std::same_as<T, Json>, "a field is a number, bool, string, vector of these, or an object");
    return value.is_object();
  }
}

}  // namespace detail

/// object[name] as T (a number, bool, std::string, std::vector of these, or Json for an object). `path` is
/// the file that the object came from. Throws RequestError naming file and field when it is missing or of
/// another kind.
template <class T>
T field(const Json& object, const std::filesystem::path& path, const std::string& name) {
  require(object.is_object() && object.contains(name), [&] {
    return path.string() + " has no field " + in_quotes(name) + "; it needs one that is " +
           detail::expected_kind<T>();
  });
  const Json& value = object.at(name);
  require(detail::holds<T>(value), [&] {
    return path.string() + ": field " + in_quotes(name) + " is " + excerpt(value) + "; it must be " +
           detail::expected_kind<T>();
  });
  return value.get<T>();
}

/// The same, or `fallback` where the object has no such field or holds null there.
template <class T>
T field_or(const Json& object, const std::filesystem::path& path, const std::string& name, T fallback) {
  if (object.is_object() && (!object.contains(name) || object.at(name).is_null())) return fallback;
  return field<T>(object, path, name);
}

}  // namespace stepvideo::io
