// What layers cost that are fetched each time they run.
#pragma once
#include <cstdint>

namespace stepvideo::model {

struct StreamedFacts {
  std::uint64_t layers = 0, bytes = 0;  ///< fetched, of memory filled; none where all layers stay
  double seconds = 0;                   ///< spent on filling it
  double stalled_seconds = 0;           ///< in which the execution had nothing else to do
};

}  // namespace stepvideo::model
