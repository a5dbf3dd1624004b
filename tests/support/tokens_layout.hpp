// Tokens somewhere in a larger buffer.
#pragma once
#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

#include <stepvideo/core/buffer.hpp>

#include "support/random_input.hpp"

namespace stepvideo::testing {

/// Tokens somewhere in a larger buffer: packed or padded, on or off the grid of wide accesses.
struct TokensLayout {
  index_t batch, tokens, width, offset, padding, batch_padding;

  static TokensLayout random(std::mt19937& engine) {
    const int widths[] = {1, 7, 64, 129, 256, 1000, 1024, 6144, 6148, 8200};
    TokensLayout layout{};
    layout.width = widths[random_int(engine, 0, 9)];
    layout.batch = random_int(engine, 1, 3);
    layout.tokens = random_int(engine, 1, layout.width > 2000 ? 4 : 20);
    return layout.moved(engine);
  }
  /// The same shape elsewhere; every second one keeps to multiples of eight elements.
  TokensLayout moved(std::mt19937& engine) const {
    const index_t step = random_int(engine, 0, 1) == 0 ? 8 : 1;
    TokensLayout layout = *this;
    layout.offset = step * random_int(engine, 0, 3);
    layout.padding = step * random_int(engine, 0, 2) + (step == 8 ? (8 - width % 8) % 8 : 0);
    layout.batch_padding = step * random_int(engine, 0, 2);
    return layout;
  }
  index_t size() const { return offset + batch * (tokens * (width + padding) + batch_padding); }
  template <class T>
  TokensView<T> view(T* data) const {
    return {data + offset, batch, tokens, width, tokens * (width + padding) + batch_padding, width + padding};
  }
  template <class T>
  std::vector<double> dense(const T* data) const {
    std::vector<double> values;
    const auto all = view(data);
    for (index_t b = 0; b < batch; ++b)
      for (index_t t = 0; t < tokens; ++t)
        for (index_t i = 0; i < width; ++i) values.push_back(double(float(all.row(b, t)[i])));
    return values;
  }
  /// Whether `after` has the bits of `before` wherever no token lies.
  template <class T>
  bool leaves_the_rest(const Buffer<T>& before, const Buffer<T>& after) const {
    std::vector<bool> is_token(static_cast<std::size_t>(after.size()));
    const auto all = view(after.data());
    for (index_t b = 0; b < batch; ++b)
      for (index_t t = 0; t < tokens; ++t)
        for (index_t i = 0; i < width; ++i) is_token[std::size_t(all.row(b, t) + i - after.data())] = true;
    for (index_t i = 0; i < after.size(); ++i)
      if (!is_token[std::size_t(i)] && std::memcmp(before.data() + i, after.data() + i, sizeof(T)) != 0)
        return false;
    return true;
  }
};

}  // namespace stepvideo::testing
