// Where a row-major tile's 16-byte chunks lie in shared memory.
#pragma once
#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// Rows of `row_bytes`; chunk c of row r lies at chunk c ^ (r % 8), so that a column of eight rows, which
/// ldmatrix reads at once, meets every bank once.
template <unsigned row_bytes_>
struct SwizzledRows {
  static constexpr unsigned row_bytes = row_bytes_, chunk_bytes = 16, chunks = row_bytes / chunk_bytes;
  static_assert(chunks % 8 == 0);

  /// In bytes from the tile's start. The chunk enters by exclusive or alone: offset(r, c ^ d) ==
  /// (offset(r, c) ^ 16 d).
  static constexpr unsigned offset(unsigned row, unsigned chunk) {
    return row * row_bytes + (chunk ^ row % 8) * chunk_bytes;
  }
};

}  // namespace stepvideo
