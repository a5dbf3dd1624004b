// How a range is cut into blocks. The cut depends on the sizes alone, never on the number of threads.
#pragma once
#include <algorithm>

#include <stepvideo/core/view.hpp>

namespace stepvideo {

/// [0, size) in as few blocks of at most `largest` as possible, all nearly equal, each but the last a
/// multiple of `multiple` (which must divide `largest`).
class Partition {
 public:
  constexpr Partition(index_t size, index_t largest, index_t multiple = 1) : size_(size) {
    const index_t blocks = (size + largest - 1) / largest;
    if (blocks > 0) block_ = ((size + blocks - 1) / blocks + multiple - 1) / multiple * multiple;
  }
  constexpr index_t count() const { return (size_ + block_ - 1) / block_; }
  constexpr index_t first(index_t block) const { return block * block_; }
  constexpr index_t extent(index_t block) const { return std::min(block_, size_ - first(block)); }

 private:
  index_t size_, block_ = 1;
};

}  // namespace stepvideo
