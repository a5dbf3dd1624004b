#include <fmt/format.h>

#include "io/json.hpp"
#include "io/pickle.hpp"

namespace stepvideo::io {

std::string Pickle::describe(Place place) const {
  using Kind = PickleValue::Kind;
  const PickleValue& value = at(place);
  switch (value.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return value.integer != 0 ? "True" : "False";
    case Kind::integer:
      return fmt::format("the number {}", value.integer);
    case Kind::real:
      return fmt::format("the number {}", value.real);
    case Kind::text:
      return "the text " + in_quotes(value.text.substr(0, 200));
    case Kind::list:
      return "a list";
    case Kind::tuple:
      return "a tuple";
    case Kind::dict:
      return "a dict";
    case Kind::global:
      return std::string(value.text);
    case Kind::call:
      return fmt::format("a call of {}", at(value.parts[0]).text);
    case Kind::persistent:
      return "a storage";
  }
  return "a value";
}

}  // namespace stepvideo::io
