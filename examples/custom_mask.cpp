// A mask of one's own is a struct with one method: here the tokens of a video frame see their own frame and
// those before it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <stepvideo/kernels/attention/attention.hpp>

namespace sv = stepvideo;

struct EarlierFramesMask {
  sv::index_t tokens_per_frame;

  /// The query sees this many keys, the first ones.
  constexpr sv::index_t visible_keys(sv::index_t, sv::index_t query, sv::index_t keys) const {
    return std::min((query / tokens_per_frame + 1) * tokens_per_frame, keys);
  }
};
static_assert(sv::AttentionMask<EarlierFramesMask>);

int main() {
  constexpr sv::index_t frames = 5, tokens_per_frame = 12, tokens = frames * tokens_per_frame, heads = 2,
                        dim = 32;
  std::vector<float> queries(tokens * heads * dim), keys(queries), values(queries), result(queries);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const auto x = static_cast<float>(i);
    queries[i] = std::sin(0.37f * x), keys[i] = std::cos(0.11f * x), values[i] = std::sin(0.23f * x);
  }
  const auto view = [](std::vector<float>& data) {
    return sv::HeadsView<float>::dense(data.data(), 1, tokens, heads, dim);
  };
  sv::attention(sv::host, view(queries), view(keys), view(values), EarlierFramesMask{tokens_per_frame},
                view(result), {});

  for (const sv::index_t token : {0, 11, 12, 59}) {
    const float* row = view(result).row(0, token, 1);
    std::printf("token %td, head 1: %.6f %.6f\n", token, row[0], row[1]);
  }
}
