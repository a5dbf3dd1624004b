// A program of a project that is not ours: calls one kernel that needs only headers, and one that needs
// OpenBLAS.
#include <cstdio>

#include <stepvideo/stepvideo.hpp>

namespace sv = stepvideo;

int main() {
  const sv::Buffer<float> input(2 * 3), weight(4 * 3), ones(3), normed(2 * 3), result(2 * 4);
  for (sv::index_t i = 0; i < input.size(); ++i) input[i] = 3.0f;
  for (sv::index_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i);
  for (float& one : ones) one = 1.0f;
  sv::rms_norm<float>(sv::host, input.matrix(2, 3), ones.vector(), 0.0f, normed.matrix(2, 3));
  sv::linear(sv::host, normed.matrix(2, 3), weight.matrix(4, 3), sv::Store{}, result.matrix(2, 4));
  std::printf("%g %g %g %g\n", double(result[4]), double(result[5]), double(result[6]), double(result[7]));
}
