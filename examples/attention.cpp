// Attention on views: queries, keys and values stay where a packed projection left them, [q | k | v] for each
// token.
#include <cmath>
#include <cstdio>
#include <vector>

#include <stepvideo/kernels/attention/attention.hpp>

namespace sv = stepvideo;

int main() {
  constexpr sv::index_t tokens = 100, heads = 4, dim = 64, width = heads * dim;
  std::vector<float> packed(tokens * 3 * width);  // (tokens, 3, heads, dim)
  for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = std::sin(0.37f * static_cast<float>(i));

  // A view is a pointer, extents and strides; it owns and copies nothing.
  const auto part = [&](sv::index_t index) {
    return sv::HeadsView<const float>{.data = packed.data() + index * width,
                                      .batch = 1,
                                      .tokens = tokens,
                                      .heads = heads,
                                      .dim = dim,
                                      .batch_stride = tokens * 3 * width,
                                      .token_stride = 3 * width,
                                      .head_stride = dim};
  };
  std::vector<float> result(tokens * width);  // (tokens, heads, dim)
  const auto out = sv::HeadsView<float>::dense(result.data(), 1, tokens, heads, dim);
  sv::attention(sv::host, part(0), part(1), part(2), sv::FullMask{}, out, {});

  const float* row = out.row(0, tokens - 1, heads - 1);
  std::printf("last token, last head: %.6f %.6f %.6f %.6f\n", row[0], row[1], row[2], row[3]);
}
