// The layers that the VAE's encoder and decoder are made of, for any element type and execution.
#pragma once
#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/norm/group_norm.hpp>

#include "io/checkpoint.hpp"
#include "model/vae_config.hpp"
#include "model/vae_rooms.hpp"

namespace stepvideo::model::vae {

template <Element T, Execution E, ConvForm form = ConvForm::plain>
class Convolution {
 public:
  /// The checkpoint's `name`.weight, (out, in, 3, 3, 3) or (out, in, 3, 3), and .bias. Several names of one
  /// shape are stacked along the output channels.
  Convolution(E execution, const io::Checkpoint& checkpoint, const std::vector<std::string>& names) {
    const io::Shape& stored = checkpoint.at(names.front() + ".weight").shape;
    const auto taps = [&](std::size_t from_last) {
      return static_cast<int>(stored[stored.size() - from_last]);
    };
    const index_t count = static_cast<index_t>(names.size());
    const ConvShape shape{stored[0] * count, stored[1], stored.size() == 5 ? taps(3) : 1, taps(2), taps(1)};
    Buffer<T> weight(shape.elements()), bias(shape.out_channels);
    for (index_t i = 0; i < count; ++i) {
      const Buffer<T> part = checkpoint.load<T>(names[i] + ".weight"),
                      part_bias = checkpoint.load<T>(names[i] + ".bias");
      std::copy(part.begin(), part.end(), weight.begin() + i * part.size());
      std::copy(part_bias.begin(), part_bias.end(), bias.begin() + i * part_bias.size());
    }
    const Buffer<T, E> placed = transfer(execution, std::move(weight));
    storage_ = Buffer<T, E>(execution, conv_weight_elements<form>(execution, shape));
    packed_ = pack_conv_weight<form>(execution, placed.vector(), shape, storage_.vector());
    bias_ = transfer(execution, std::move(bias));
  }
  Convolution(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : Convolution(execution, checkpoint, std::vector{name}) {}

  index_t out_channels() const { return packed_.shape().out_channels; }
  const PackedConvWeight<T, E, form>& weight() const { return packed_; }
  VectorView<const T> bias() const { return bias_.vector(); }

  /// The causal convolution at stride 1.
  template <class In, Epilogue Finish, Element Out>
  void operator()(E execution, VideoView<In> in, const Finish& epilogue, VideoView<Out> out) const {
    causal_conv3d(execution, in, weight(), bias(), {}, epilogue, out);
  }

 private:
  Buffer<T, E> storage_, bias_;
  PackedConvWeight<T, E, form> packed_;  // in storage_, whose memory stays where it is when this is moved
};

template <Element T, Execution E>
class Norm {
 public:
  Norm(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : weight_(transfer(execution, checkpoint.load<T>(name + ".weight"))),
        bias_(transfer(execution, checkpoint.load<T>(name + ".bias"))) {}

  template <class In, Epilogue Finish, Element Out>
  void operator()(E execution, VideoView<In> in, const Finish& epilogue, VideoView<Out> out) const {
    group_norm(execution, in, weight_.vector(), bias_.vector(), VaeConfig::norm_groups,
               VaeConfig::norm_epsilon, epilogue, out);
  }

 private:
  Buffer<T, E> weight_, bias_;
};

/// Norm, SiLU, convolution, twice, plus the input.
template <Element T, Execution E>
class ResidualBlock {
 public:
  ResidualBlock(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : norm1_(execution, checkpoint, name + ".norm1"),
        conv1_(execution, checkpoint, name + ".conv1.conv"),
        norm2_(execution, checkpoint, name + ".norm2"),
        conv2_(execution, checkpoint, name + ".conv2.conv") {
    const std::string shortcut = name + ".nin_shortcut.conv";
    if (checkpoint.contains(shortcut + ".weight")) shortcut_.emplace(execution, checkpoint, shortcut);
  }

  void operator()(E execution, const ResidualRooms<T>& at) const {
    norm1_(execution, at.in, Activate<Silu>{}, at.normed_in);
    conv1_(execution, at.normed_in, Store{}, at.hidden);
    norm2_(execution, at.hidden, Activate<Silu>{}, at.normed);
    if (shortcut_) (*shortcut_)(execution, at.in, Store{}, at.out);  // in hidden's memory
    conv2_(execution, at.normed, Residual<float>{at.out.rows()}, at.out);
  }

 private:
  Norm<T, E> norm1_;
  Convolution<T, E> conv1_;
  Norm<T, E> norm2_;
  Convolution<T, E> conv2_;
  std::optional<Convolution<T, E>> shortcut_;
};

/// Norm, one head of attention over the flattened (frame, row, column) tokens, each seeing itself and those
/// before it, plus the input.
template <Element T, Execution E>
class AttentionBlock {
 public:
  AttentionBlock(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : norm_(execution, checkpoint, name + ".norm"),
        queries_keys_values_(execution, checkpoint, {name + ".q.conv", name + ".k.conv", name + ".v.conv"}),
        project_(execution, checkpoint, name + ".proj_out.conv") {}

  void operator()(E execution, const AttentionRooms<T>& at) const {
    const index_t channels = at.stream.channels, tokens = at.stream.pixels();
    norm_(execution, at.stream, Store{}, at.normed);
    queries_keys_values_(execution, at.normed, Store{}, at.packed);
    const auto part = [&](index_t i) {
      return HeadsView<float>{
          at.packed.data + i * channels, 1, tokens, 1, channels, 0, 3 * channels, channels};
    };
    attention(execution, part(0), part(1), part(2), CausalMask{},
              HeadsView<float>::dense(at.attended.data, 1, tokens, 1, channels), {});
    project_(execution, at.attended, Residual<float>{at.stream.rows()}, at.stream);
  }

 private:
  Norm<T, E> norm_;
  Convolution<T, E> queries_keys_values_, project_;
};

/// What a test sees of a run: each named layer's result, as it is made.
using Observer = std::function<void(const std::string& layer, VideoView<const float> result)>;

/// Residual block, attention, residual block.
template <Element T, Execution E>
class Middle {
 public:
  Middle(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : name_(name),
        block_1_(execution, checkpoint, name + ".block_1"),
        attention_(execution, checkpoint, name + ".attn_1"),
        block_2_(execution, checkpoint, name + ".block_2") {}

  void operator()(E execution, const MiddleRooms<T>& at, const Observer& observer) const {
    block_1_(execution, at.block_1);
    if (observer) observer(name_ + ".block_1", at.block_1.out);
    attention_(execution, at.attention);
    if (observer) observer(name_ + ".attn_1", at.attention.stream);
    block_2_(execution, at.block_2);
    if (observer) observer(name_ + ".block_2", at.block_2.out);
  }

 private:
  std::string name_;
  ResidualBlock<T, E> block_1_;
  AttentionBlock<T, E> attention_;
  ResidualBlock<T, E> block_2_;
};

/// The residual blocks of one level.
template <Element T, Execution E>
class Level {
 public:
  Level(E execution, const io::Checkpoint& checkpoint, const std::string& name, int blocks) {
    for (int block = 0; block < blocks; ++block)
      blocks_.emplace_back(execution, checkpoint, name + ".block." + std::to_string(block));
  }
  void operator()(E execution, const std::vector<ResidualRooms<T>>& at) const {
    for (std::size_t block = 0; block < blocks_.size(); ++block) blocks_[block](execution, at[block]);
  }

 private:
  std::vector<ResidualBlock<T, E>> blocks_;
};

}  // namespace stepvideo::model::vae
