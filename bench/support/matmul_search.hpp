// The fastest algorithm of a matrix product among those whose bits do not depend on how many rows a call has.
#pragma once
#include <cstdio>
#include <string>
#include <vector>

#include <stepvideo/kernels/linear/matmul_table.hpp>

namespace stepvideo::bench {

struct SearchedMatmul {
  MatmulShape shape;
  MatmulAlgorithm algorithm;
  /// Medians, taken in turns: the algorithm's, and that of the library's first proposal.
  double milliseconds = 0, first_milliseconds = 0;
};

/// The current device's name and what its algorithms hold for. Throws RequestError without a GPU.
std::string matmul_device_name();
MatmulPlatform matmul_platform();

/// The products of the release with operands of that element: a block's and the ends' at 992x544x204, whose
/// tokens are 75,888, those of its text, and those of both encoders for a prompt and a negative prompt of all
/// tokens. What turns time into modulations, and CLIP, stay float32 whatever the element is.
std::vector<MatmulShape> release_matmuls(MatmulElement element);

/// How long to look for a shape's contenders before the finals.
struct SearchEffort {
  /// For the library's proposals and what resembles the best of them.
  double seconds_a_shape = 1.5;
  /// As long as it takes, and for everything that the library has: minutes a shape.
  bool is_thorough = false;
};

/// Times what the library has for each shape: the candidates and what resembles the best of them on a share
/// of the rows, then the finalists in turns on the whole. The fastest is taken whose result is near the first
/// proposal's, is the same when it is run again, and is the same in shares of the rows; a shape for which
/// none is stays out. Random normal operands; prints a line a shape.
std::vector<SearchedMatmul> search_matmuls(const std::vector<MatmulShape>& shapes, const SearchEffort& effort,
                                           std::FILE* output = stdout);

}  // namespace stepvideo::bench
