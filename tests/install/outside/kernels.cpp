// A program of a project that wants kernels and neither OpenMP nor OpenBLAS: attention whose keys are all the same
// gives every query the mean of the values.
#include <cstdio>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/attention/attention.hpp>

namespace sv = stepvideo;

int main() {
  constexpr sv::index_t tokens = 4, dim = 8;
  const sv::Buffer<float> same(tokens * dim), values(tokens * dim), out(tokens * dim);
  for (float& value : same) value = 1.0f;
  for (sv::index_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto view = [](const sv::Buffer<float>& of) {
    return sv::HeadsView<float>::dense(of.data(), 1, tokens, 1, dim);
  };
  sv::attention(sv::host, view(same), view(same), view(values), sv::FullMask{}, view(out));
  std::printf("%g %g %g %g\n", double(out[0]), double(out[1]), double(out[2]), double(out[31]));
}
