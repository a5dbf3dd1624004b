// Where the stages of a list stand, by name: a log may name very many.
#pragma once
#include <cstddef>
#include <string>
#include <unordered_map>

namespace stepvideo::trace {

using StagePlaces = std::unordered_map<std::string, std::size_t>;

/// The place of each stage in the list; of a name that is there twice, the first.
template <class Stages>
StagePlaces places_of(const Stages& stages) {
  StagePlaces places;
  for (std::size_t i = 0; i < stages.size(); ++i) places.try_emplace(stages[i].name, i);
  return places;
}

/// The stage of that name, or nullptr. `places` are those of `stages`.
template <class Stages>
auto* find_stage(Stages& stages, const StagePlaces& places, const std::string& name) {
  const auto at = places.find(name);
  return at == places.end() ? nullptr : &stages[at->second];
}

}  // namespace stepvideo::trace
