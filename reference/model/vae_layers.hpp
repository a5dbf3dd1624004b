// The layers that the VAE's encoder and decoder are made of, for any element type and execution.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <stepvideo/kernels/tile/part_moments.hpp>

#include "model/causal_attention.hpp"
#include "model/vae_config.hpp"
#include "model/vae_convolution.hpp"
#include "model/vae_rooms.hpp"

namespace stepvideo::model::vae {

/// Norm, SiLU, convolution, twice, plus the input.
template <Element T, Execution E, Element N = T>
class ResidualBlock {
 public:
  ResidualBlock(const ParameterLoader<E>& from, const std::string& name, bool changes_width)
      : norm1_(from, name + ".norm1"),
        conv1_(from, name + ".conv1.conv", norm1_.quantization()),
        norm2_(from, name + ".norm2"),
        conv2_(from, name + ".conv2.conv", norm2_.quantization()) {
    if (changes_width) shortcut_.emplace(from, name + ".nin_shortcut.conv");
  }

  /// `of_in`: the moments of its input, where a convolution has left some. Returns those of its result.
  PartMomentsView operator()(const Run<E>& run, const ResidualRooms<T, N>& at,
                             const PartMomentsView& of_in = {}) const {
    at.in.visit([&](auto in) { norm1_(run, in, Activate<Silu>{}, at.normed_in, of_in); });
    const auto of_hidden = conv1_.behind(run, at.past_in, at.normed_in, Store{}, at.hidden);
    norm2_(run, at.hidden, Activate<Silu>{}, at.normed, of_hidden);
    if (shortcut_) (*shortcut_)(run, at.in.narrow, {}, Store{}, at.sum);
    PartMomentsView of_out;
    at.out.visit([&](auto out) {
      of_out = conv2_.behind(run, at.past, at.normed, Residual<float>{at.sum.rows()}, out);
    });
    return of_out;
  }

 private:
  Norm<T, E, N> norm1_;
  Convolution<T, E, ConvForm::plain, N> conv1_;
  Norm<T, E, N> norm2_;
  Convolution<T, E, ConvForm::plain, N> conv2_;
  std::optional<Convolution<T, E>> shortcut_;
};

/// Norm, one head of attention over the flattened (frame, row, column) tokens, each seeing itself and those
/// before it, plus the input.
template <Element T, Execution E>
class AttentionBlock {
 public:
  AttentionBlock(const ParameterLoader<E>& from, const std::string& name)
      : norm_(from, name + ".norm"),
        queries_keys_values_(from, {name + ".q.conv", name + ".k.conv", name + ".v.conv"}),
        project_(from, name + ".proj_out.conv") {}

  /// As ResidualBlock's.
  PartMomentsView operator()(const Run<E>& run, const AttentionRooms<T>& at,
                             const PartMomentsView& of_stream) const {
    norm_(run, at.stream, Store{}, at.normed, of_stream);
    queries_keys_values_(run, at.normed, {}, Store{}, at.packed);
    const index_t channels = at.stream.channels, tokens = at.stream.pixels();
    const auto part = [&](index_t i) {
      return MatrixView<const T>{at.packed.data + i * channels, tokens, channels, 3 * channels};
    };
    attend_causally<T>(run, part(0), part(1), part(2), at.attended.rows(), at.workspace);
    run.did(Work::attention, 2.0 * static_cast<double>(tokens * tokens) * static_cast<double>(channels));
    return project_.before_norm(run, at.attended, {}, Residual<float>{at.stream.rows()}, at.stream);
  }

 private:
  Norm<T, E> norm_;
  Convolution<T, E> queries_keys_values_, project_;
};

/// Residual block, attention, residual block.
template <Element T, Execution E, Element N = T>
class Middle {
 public:
  Middle(const ParameterLoader<E>& from, const std::string& name)
      : name_(name),
        block_1_(from, name + ".block_1", false),
        attention_(from, name + ".attn_1"),
        block_2_(from, name + ".block_2", false) {}

  /// As ResidualBlock's.
  PartMomentsView operator()(const Run<E>& run, const MiddleRooms<T, N>& at,
                             const PartMomentsView& of_in = {}) const {
    PartMomentsView moments = block_1_(run, at.block_1, of_in);
    at.block_1.out.visit([&](auto out) { run.show(name_ + ".block_1", out); });
    moments = attention_(run, at.attention, moments);
    run.show(name_ + ".attn_1", at.attention.stream);
    moments = block_2_(run, at.block_2, moments);
    at.block_2.out.visit([&](auto out) { run.show(name_ + ".block_2", out); });
    return moments;
  }

 private:
  std::string name_;
  ResidualBlock<T, E, N> block_1_;
  AttentionBlock<T, E> attention_;
  ResidualBlock<T, E, N> block_2_;
};

/// The residual blocks of one level.
template <Element T, Execution E, Element N = T>
class Level {
 public:
  /// `in_channels` of what comes into the first block.
  Level(const ParameterLoader<E>& from, const std::string& name, const VaeConfig::Levels& levels, int level,
        index_t in_channels) {
    for (int block = 0; block < levels.blocks[level]; ++block)
      blocks_.emplace_back(from, name + ".block." + std::to_string(block),
                           block == 0 && in_channels != levels.widths[level]);
  }
  /// As ResidualBlock's.
  PartMomentsView operator()(const Run<E>& run, const std::vector<ResidualRooms<T, N>>& at,
                             PartMomentsView moments = {}) const {
    for (std::size_t block = 0; block < blocks_.size(); ++block)
      moments = blocks_[block](run, at[block], moments);
    return moments;
  }

 private:
  std::vector<ResidualBlock<T, E, N>> blocks_;
};

}  // namespace stepvideo::model::vae
