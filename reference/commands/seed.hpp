// A seed as it is asked for, and what becomes of it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "progress.hpp"

namespace stepvideo::commands {

struct SeedWish {
  std::optional<std::uint64_t> number = {};  ///< without it chance chooses

  bool is_random() const { return !number; }
};

/// A whole number, or "random". Throws RequestError that begins with `place`.
SeedWish parse_seed(const std::string& place, const std::string& text);

/// The number asked for. For a random one of a run that `resumes`, the one that an earlier run of this output
/// drew, where its step file or the output itself tells; else a new one below 2^32, which every reader of
/// JSON keeps. Throws RequestError where several processes would each draw their own.
std::uint64_t settle(const SeedWish& wish, const std::filesystem::path& output, bool resumes);

/// Says what was drawn; `where` names the video of a batch.
void tell_drawn_seed(const Progress& progress, std::uint64_t seed, const std::string& where = "");

}  // namespace stepvideo::commands
