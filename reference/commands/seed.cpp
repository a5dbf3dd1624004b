#include "commands/seed.hpp"

#include <charconv>
#include <random>
#include <system_error>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"
#include "io/manifest.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/step_file.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

using io::Json;

std::optional<std::uint64_t> seed_in(const Json& manifest) {
  const Json seed = manifest.value("seed", Json());
  if (seed.is_number_unsigned()) return seed.get<std::uint64_t>();
  const Json sources = manifest.value("sources", Json());
  if (sources.is_object())
    for (const auto& [name, source] : sources.items())
      if (source.is_object())
        if (const auto found = seed_in(source)) return found;
  return {};
}

std::optional<std::uint64_t> seed_of_file(const fs::path& file) {
  std::error_code unused;
  if (!fs::exists(file, unused)) return {};
  try {
    const auto manifest = io::read_manifest(file);
    return manifest ? seed_in(*manifest) : std::nullopt;
  } catch (const RequestError&) {  // somebody else's file, which is refused where it is in the way
    return {};
  }
}

}  // namespace

SeedWish parse_seed(const std::string& place, const std::string& text) {
  if (io::lower_case(text) == "random") return {};
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  require(read.ec == std::errc{} && read.ptr == end, [&] {
    return fmt::format("{}: '{}' is not a whole number from 0 to 18446744073709551615, nor random", place,
                       text);
  });
  return {number};
}

std::uint64_t settle(const SeedWish& wish, const fs::path& output, bool resumes) {
  if (!wish.is_random()) return *wish.number;
  require(pipeline::process_ranks() == nullptr, [] {
    return "--seed random: each of the processes that the launcher started would draw its own; a number "
           "works";
  });
  if (resumes)
    for (const fs::path& file : {pipeline::step_file_of(output), output})
      if (const auto found = seed_of_file(file)) return *found;
  return std::random_device{}();
}

void tell_drawn_seed(const Progress& progress, std::uint64_t seed, const std::string& where) {
  progress.tell(fmt::format("{0}seed {1}, drawn at random; --seed {1} repeats it",
                            where.empty() ? "" : where + ": ", seed));
}

}  // namespace stepvideo::commands
