#include "place/choice.hpp"

#include <charconv>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"

namespace stepvideo::place {
namespace {

bool is_uuid(std::string_view text) {
  constexpr std::string_view allowed = "0123456789abcdefABCDEF-/";
  for (const std::string_view kind : {"GPU-", "MIG-"})
    if (text.starts_with(kind) && text.size() > kind.size())
      return text.substr(kind.size()).find_first_not_of(allowed) == text.npos || text.starts_with("MIG-GPU-");
  return false;
}

}  // namespace

Choice parse_choice(std::string_view text) {
  constexpr std::string_view prefix = "cuda:";
  const std::string words = io::lower_case(std::string(text));
  const bool has_prefix = words.starts_with(prefix);
  if (words == "auto") return {};
  if (words == "cpu") return {.kind = Choice::Kind::cpu, .ordinal = 0, .uuid = {}};
  Choice choice{.kind = Choice::Kind::cuda, .ordinal = 0, .uuid = {}};
  if (words == "cuda") return choice;
  const std::string_view which = has_prefix ? text.substr(prefix.size()) : text;
  if (is_uuid(which)) {
    choice.uuid = which;
    return choice;
  }
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), choice.ordinal);
  require(
      has_prefix && error == std::errc{} && end == which.data() + which.size() && choice.ordinal >= 0, [&] {
        return fmt::format(
            "--device: '{}' is not a device; auto, cpu, cuda, cuda:1 and a UUID of nvidia-smi -L are", text);
      });
  return choice;
}

std::string to_string(const Choice& choice) {
  switch (choice.kind) {
    case Choice::Kind::automatic:
      return "auto";
    case Choice::Kind::cpu:
      return "cpu";
    case Choice::Kind::cuda:
      break;
  }
  return "cuda:" + (choice.uuid.empty() ? std::to_string(choice.ordinal) : choice.uuid);
}

}  // namespace stepvideo::place
