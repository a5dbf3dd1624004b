// The video transformer as the release's equations say, in double, one batch element at a time.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>

#include "oracle/attention.hpp"
#include "oracle/layer_norm.hpp"
#include "oracle/linear.hpp"
#include "oracle/rms_norm.hpp"
#include "oracle/rope.hpp"

namespace stepvideo::oracle {

class Transformer {
 public:
  using Values = std::vector<double>;

  index_t heads = 0, dim = 0, layers = 0;
  /// A tensor of the checkpoint, flattened; empty where there is none.
  std::function<Values(const std::string& name)> tensor;
  /// What is left of a value of a block where a program in fewer bits stores it.
  double (*stored)(double) = exactly;

  /// The velocity (frames, channels, height, width) of latents of that shape; llm and clip are (tokens,
  /// channels).
  Values forward(const Values& latents, LatentShape shape, double time, const Values& llm, index_t llm_tokens,
                 const Values& clip, index_t clip_tokens, index_t key_length) const {
    const index_t tokens = shape.tokens(), pixels = index_t{shape.height} * shape.width;
    const index_t channels = std::ssize(latents) / tokens;
    Values patches(latents.size());
    for (index_t t = 0; t < tokens; ++t)
      for (index_t c = 0; c < channels; ++c)
        patches[t * channels + c] = latents[(t / pixels * channels + c) * pixels + t % pixels];
    Values x = linear("pos_embed.proj", patches, tokens);

    const Values embedded = embed_time(time);
    const Values shared = linear("adaln_single.linear", map(embedded, silu), 1);
    const Values text = text_sequence(llm, llm_tokens, clip, clip_tokens, key_length);
    std::vector<index_t> all(static_cast<std::size_t>(tokens));
    std::iota(all.begin(), all.end(), index_t{0});
    for (index_t layer = 0; layer < layers; ++layer)
      x = block("transformer_blocks." + std::to_string(layer) + ".", x, shape, shared, text, all);

    const Values table = tensor("scale_shift_table");
    Values y = norm("", x, 1e-6);
    modulate(y, row(table, 0), row(table, 1), embedded, embedded);
    const Values out = linear("proj_out", y, tokens);
    Values velocity(out.size());
    const index_t results = std::ssize(out) / tokens;
    for (index_t t = 0; t < tokens; ++t)
      for (index_t c = 0; c < results; ++c)
        velocity[(t / pixels * results + c) * pixels + t % pixels] = out[t * results + c];
    return velocity;
  }

  /// ff.net.2(gelu(ff.net.0.proj(row))) for rows of the stream's width.
  Values feed_forward(const std::string& block, const Values& rows) const {
    const index_t count = std::ssize(rows) / width();
    return linear(block + "ff.net.2",
                  map(map(linear(block + "ff.net.0.proj", rows, count), gelu_tanh), stored), count);
  }

  /// The stream behind a block, (rows, width), of the tokens `rows` of one that was `x`, (tokens, width),
  /// before it. `shared` are the six rows that time adds to the block's table, `text` is (keys, width).
  Values block(const std::string& name, const Values& x, LatentShape shape, const Values& shared,
               const Values& text, const std::vector<index_t>& rows) const {
    const index_t tokens = shape.tokens(), count = std::ssize(rows);
    const Values table = tensor(name + "scale_shift_table");
    Values y = norm(name + "norm1", x, 1e-5);
    modulate(y, row(table, 0), row(table, 1), row(shared, 0), row(shared, 1));
    y = map(y, stored);
    const int split[3] = {int(dim) / 2, int(dim) / 4, int(dim) / 4};
    /// Normed and turned by where they stand: the heads of the tokens `at`.
    const auto turn = [&](Values& all, const char* norm_name, const std::vector<index_t>& at) {
      const Values weight = tensor(name + norm_name);
#pragma omp parallel for
      for (index_t t = 0; t < std::ssize(at); ++t) {
        const Values normed = normalised(of(all, {t}), weight);
        put(all, t,
            map(rope3d<double>(view(normed, 1, heads, dim), shape.height, shape.width, split,
                               at[static_cast<std::size_t>(t)])
                    .values,
                stored));
      }
    };
    std::vector<index_t> every(static_cast<std::size_t>(tokens));
    std::iota(every.begin(), every.end(), index_t{0});
    Values keys = part_of(name + "attn1.wqkv", 3, 1, y),
           queries = part_of(name + "attn1.wqkv", 3, 0, of(y, rows));
    turn(keys, "attn1.k_norm.weight", every);
    turn(queries, "attn1.q_norm.weight", rows);
    Values out = of(x, rows);
    add(out, row(table, 2), row(shared, 2),
        map(linear(name + "attn1.wo", attend(queries, keys, part_of(name + "attn1.wqkv", 3, 2, y)), count),
            stored));

    const Values asked = map(linear(name + "attn2.wq", map(out, stored), count), stored);
    const Values crossed = map(linear(name + "attn2.wo",
                                      attend(normalised(asked, tensor(name + "attn2.q_norm.weight")),
                                             normalised(part_of(name + "attn2.wkv", 2, 0, text),
                                                        tensor(name + "attn2.k_norm.weight")),
                                             part_of(name + "attn2.wkv", 2, 1, text)),
                                      count),
                               stored);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += crossed[i];

    y = norm(name + "norm2", out, 1e-5);
    modulate(y, row(table, 3), row(table, 4), row(shared, 3), row(shared, 4));
    add(out, row(table, 5), row(shared, 5), map(feed_forward(name, map(y, stored)), stored));
    return out;
  }

  static double exactly(double value) {
    return value;
  }

 private:
  index_t width() const {
    return heads * dim;
  }

  static Values map(Values values, double (*function)(double)) {
    for (double& value : values) value = function(value);
    return values;
  }
  Values row(const Values& table, index_t at) const {
    return {table.begin() + at * width(), table.begin() + (at + 1) * width()};
  }
  static HeadsView<const double> view(const Values& values, index_t tokens, index_t heads, index_t dim) {
    return HeadsView<const double>::dense(values.data(), 1, tokens, heads, dim);
  }

  Values linear(const std::string& name, const Values& in, index_t rows) const {
    return products(in, rows, tensor(name + ".weight"), tensor(name + ".bias"));
  }
  /// Part `part` of `parts` of every head, (tokens, heads, dim), of a layer that makes [parts] x heads of the
  /// rows of the stream's width.
  Values part_of(const std::string& name, index_t parts, index_t part, const Values& in) const {
    const Values all = tensor(name + ".weight");
    Values weight;
    for (index_t head = 0; head < heads; ++head) {
      const auto begin = all.begin() + (head * parts + part) * dim * width();
      weight.insert(weight.end(), begin, begin + dim * width());
    }
    return map(products(in, std::ssize(in) / width(), weight, {}), stored);
  }
  /// in weight^T + bias. A thread has some rows and some columns, so that the weight is read from memory once
  /// for as many rows, and four sums go side by side.
  static Values products(const Values& in, index_t rows, const Values& weight, const Values& bias) {
    const index_t depth = std::ssize(in) / rows, columns = std::ssize(weight) / depth;
    constexpr index_t row_block = 16, column_block = 64;
    Values out(static_cast<std::size_t>(rows * columns));
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (index_t first_row = 0; first_row < rows; first_row += row_block)
      for (index_t first_column = 0; first_column < columns; first_column += column_block)
        for (index_t c = first_column; c < std::min(columns, first_column + column_block); ++c)
          for (index_t r = first_row; r < std::min(rows, first_row + row_block); r += 4) {
            const double* const w = weight.data() + c * depth;
            const auto row_at = [&](index_t i) { return in.data() + std::min(r + i, rows - 1) * depth; };
            const double *const x0 = row_at(0), *const x1 = row_at(1), *const x2 = row_at(2),
                                *const x3 = row_at(3);
            double a = 0, b = 0, d = 0, e = 0;
#pragma omp simd reduction(+ : a, b, d, e)
            for (index_t k = 0; k < depth; ++k) {
              a += x0[k] * w[k];
              b += x1[k] * w[k];
              d += x2[k] * w[k];
              e += x3[k] * w[k];
            }
            const double sums[4] = {a, b, d, e};
            for (index_t i = 0; i < std::min<index_t>(4, rows - r); ++i)
              out[(r + i) * columns + c] = sums[i] + (bias.empty() ? 0 : bias[c]);
          }
    return out;
  }
  /// The rows of the stream's width at `rows`, and one put there.
  Values of(const Values& all, const std::vector<index_t>& rows) const {
    Values some;
    for (const index_t at : rows)
      some.insert(some.end(), all.begin() + at * width(), all.begin() + (at + 1) * width());
    return some;
  }
  void put(Values& all, index_t at, const Values& row_values) const {
    std::copy(row_values.begin(), row_values.end(), all.begin() + at * width());
  }
  /// (tokens, heads, dim) by RMSNorm, with that weight.
  Values normalised(const Values& in, const Values& weight) const {
    return map(rms_norm<double>(view(in, std::ssize(in) / width(), heads, dim), weight.data(), 1e-6).values,
               stored);
  }

  /// With the affine of that name; without a name, none.
  Values norm(const std::string& name, const Values& x, double epsilon) const {
    Values y = layer_norm<double>(
                   TokensView<const double>::dense(x.data(), 1, std::ssize(x) / width(), width()), epsilon)
                   .values;
    if (name.empty()) return y;
    const Values weight = tensor(name + ".weight"), bias = tensor(name + ".bias");
    for (std::size_t i = 0; i < y.size(); ++i)
      y[i] = y[i] * weight[i % weight.size()] + bias[i % bias.size()];
    return y;
  }
  /// y (1 + scale) + shift, each a row of a table and what the time adds to it.
  static void modulate(Values& y, const Values& shift_row, const Values& scale_row,
                       const Values& shift_of_time, const Values& scale_of_time) {
    const std::size_t channels = shift_row.size();
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t c = i % channels;
      y[i] = y[i] * (1 + scale_row[c] + scale_of_time[c]) + shift_row[c] + shift_of_time[c];
    }
  }
  static void add(Values& x, const Values& gate_row, const Values& gate_of_time, const Values& delta) {
    const std::size_t channels = gate_row.size();
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] += (gate_row[i % channels] + gate_of_time[i % channels]) * delta[i];
  }

  Values embed_time(double time) const {
    constexpr int half = 128;
    Values sinusoids(2 * half);
    for (int i = 0; i < half; ++i) {
      const double angle = 1000 * time * std::exp(-std::log(10000.0) * i / half);
      sinusoids[i] = std::cos(angle), sinusoids[half + i] = std::sin(angle);
    }
    const std::string name = "adaln_single.emb.timestep_embedder.linear_";
    return linear(name + "2", map(linear(name + "1", sinusoids, 1), silu), 1);
  }

  /// The first `key_length` of [CLIP | LLM].
  Values text_sequence(const Values& llm, index_t llm_tokens, const Values& clip, index_t clip_tokens,
                       index_t key_length) const {
    const index_t channels = std::ssize(llm) / llm_tokens;
    const Values normed =
        layer_norm<double>(TokensView<const double>::dense(llm.data(), 1, llm_tokens, channels), 1e-6).values;
    Values sequence = linear("clip_projection", clip, clip_tokens);
    const Values caption =
        linear("caption_projection.linear_2",
               map(linear("caption_projection.linear_1", normed, llm_tokens), gelu_tanh), llm_tokens);
    sequence.insert(sequence.end(), caption.begin(), caption.end());
    sequence.resize(static_cast<std::size_t>(key_length * width()));
    return sequence;
  }

  Values attend(const Values& queries, const Values& keys, const Values& values) const {
    const auto heads_of = [&](const Values& v) { return view(v, std::ssize(v) / width(), heads, dim); };
    return attention_in<double, double>(
               heads_of(queries), heads_of(keys), heads_of(values), 1 / std::sqrt(double(dim)),
               [](index_t, index_t, index_t) { return true; }, [](index_t, index_t, index_t) { return 0.0; },
               stored, stored)
        .out;
  }
};

}  // namespace stepvideo::oracle
