// The video transformer as the release's equations say, in double, one batch element at a time.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/view.hpp>

#include "oracle/attention.hpp"
#include "oracle/layer_norm.hpp"
#include "oracle/linear.hpp"
#include "oracle/qk_norm_rope.hpp"

namespace stepvideo::oracle {

class Transformer {
 public:
  using Values = std::vector<double>;

  index_t heads = 0, dim = 0, layers = 0;
  /// A tensor of the checkpoint, flattened; empty where there is none.
  std::function<Values(const std::string& name)> tensor;

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
    for (index_t layer = 0; layer < layers; ++layer)
      block("transformer_blocks." + std::to_string(layer) + ".", x, shape, shared, text, key_length);

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
    return linear(block + "ff.net.2", map(linear(block + "ff.net.0.proj", rows, count), gelu_tanh), count);
  }

 private:
  index_t width() const { return heads * dim; }

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
    const Values weight = tensor(name + ".weight"), bias = tensor(name + ".bias");
    const index_t depth = std::ssize(in) / rows, columns = std::ssize(weight) / depth;
    Values out(static_cast<std::size_t>(rows * columns));
#pragma omp parallel for
    for (index_t r = 0; r < rows; ++r) {
      const Values one =
          oracle::linear<double>(MatrixView<const double>::dense(in.data() + r * depth, 1, depth),
                                 MatrixView<const double>::dense(weight.data(), columns, depth));
      for (index_t c = 0; c < columns; ++c) out[r * columns + c] = one[c] + (bias.empty() ? 0 : bias[c]);
    }
    return out;
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

  /// Part `part` of `parts` of every head: (tokens, heads, dim).
  Values part_of(const Values& packed, index_t parts, index_t part) const {
    Values out;
    for (std::size_t i = 0; i < packed.size(); ++i)
      if (static_cast<index_t>(i) / dim % parts == part) out.push_back(packed[i]);
    return out;
  }
  Values attend(const Values& queries, const Values& keys, const Values& values) const {
    const auto heads_of = [&](const Values& v) { return view(v, std::ssize(v) / width(), heads, dim); };
    return oracle::attention<double>(
               heads_of(queries), heads_of(keys), heads_of(values), 1 / std::sqrt(double(dim)),
               [](index_t, index_t, index_t) { return true; }, [](index_t, index_t, index_t) { return 0.0; })
        .out;
  }

  void block(const std::string& name, Values& x, LatentShape shape, const Values& shared, const Values& text,
             index_t key_length) const {
    const index_t tokens = shape.tokens();
    const Values table = tensor(name + "scale_shift_table");
    Values y = norm(name + "norm1", x, 1e-5);
    modulate(y, row(table, 0), row(table, 1), row(shared, 0), row(shared, 1));
    const Values qkv = linear(name + "attn1.wqkv", y, tokens);
    const int split[3] = {int(dim) / 2, int(dim) / 4, int(dim) / 4};
    const auto turned = [&](index_t part, const char* weight) {
      return norm_rope<double>(view(part_of(qkv, 3, part), tokens, heads, dim), tensor(name + weight).data(),
                               1e-6, shape.height, shape.width, split, 0)
          .values;
    };
    add(x, row(table, 2), row(shared, 2),
        linear(name + "attn1.wo",
               attend(turned(0, "attn1.q_norm.weight"), turned(1, "attn1.k_norm.weight"), part_of(qkv, 3, 2)),
               tokens));

    const auto normed = [&](const Values& values, index_t count, const char* weight) {
      return rms_norm<double>(view(values, count, heads, dim), tensor(name + weight).data(), 1e-6).values;
    };
    const Values keys_values = linear(name + "attn2.wkv", text, key_length);
    const Values crossed =
        linear(name + "attn2.wo",
               attend(normed(linear(name + "attn2.wq", x, tokens), tokens, "attn2.q_norm.weight"),
                      normed(part_of(keys_values, 2, 0), key_length, "attn2.k_norm.weight"),
                      part_of(keys_values, 2, 1)),
               tokens);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += crossed[i];

    y = norm(name + "norm2", x, 1e-5);
    modulate(y, row(table, 3), row(table, 4), row(shared, 3), row(shared, 4));
    add(x, row(table, 5), row(shared, 5), feed_forward(name, y));
  }
};

}  // namespace stepvideo::oracle
