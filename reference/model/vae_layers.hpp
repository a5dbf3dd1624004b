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

namespace stepvideo::model::vae {

/// Values of the host in the memory of an execution.
template <Execution E>
Buffer<float, E> place(E execution, const float* values, index_t count) {
  Buffer<float> copied(count);
  std::copy_n(values, count, copied.data());
  return transfer(execution, std::move(copied));
}

/// The way back.
template <Execution E>
Buffer<float> fetch(E execution, Buffer<float, E>&& values) {
  if constexpr (std::same_as<E, Host>) {
    return std::move(values);
  } else {
    Buffer<float> result(values.size());
    copy(values, result, execution);
    synchronize(execution);
    return result;
  }
}

/// Memory for one video at a time. It grows to the largest it is asked for and is kept.
template <Execution E>
class Storage {
 public:
  /// An uninitialised video; the one before is lost.
  template <Element T>
  VideoView<T> video(E execution, index_t frames, index_t height, index_t width, index_t channels) {
    VideoView<T> result{nullptr, frames, height, width, channels};
    const index_t bytes = result.size() * static_cast<index_t>(sizeof(T));
    if (bytes > memory_.size()) {
      memory_ = {};  // the old memory goes before the new is asked for
      memory_ = Buffer<std::byte, E>(execution, bytes);
    }
    result.data = reinterpret_cast<T*>(memory_.data());
    return result;
  }

 private:
  Buffer<std::byte, E> memory_;
};

/// The video that runs through the layers, and memory for what is on its way. A layer reads `x` and leaves
/// its result there. x and what a norm reads are float32 for every T; what a norm hands to a convolution is
/// T. (With x in bf16 its roundings add up to 1.5e-2 over the encoder; so they stay below 7e-3.)
template <Execution E>
struct Stream {
  E execution;
  VideoView<float> x{};
  Storage<E> current{}, first{}, second{};

  /// A video in `storage` with x's frames, height and width.
  template <Element Out>
  VideoView<Out> like_x(Storage<E>& storage, index_t channels) {
    return storage.template video<Out>(execution, x.frames, x.height, x.width, channels);
  }
  /// Makes `video`, which lies in `storage`, the current one.
  void advance(Storage<E>& storage, VideoView<float> video) {
    std::swap(current, storage);
    x = video;
  }
};

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

  void operator()(Stream<E>& stream) const {
    const E execution = stream.execution;
    const VideoView<T> normed_in = stream.template like_x<T>(stream.first, stream.x.channels);
    norm1_(execution, stream.x, Activate<Silu>{}, normed_in);
    const VideoView<float> hidden = stream.template like_x<float>(stream.second, conv1_.out_channels());
    conv1_(execution, normed_in, Store{}, hidden);
    const VideoView<T> normed = stream.template like_x<T>(stream.first, hidden.channels);
    norm2_(execution, hidden, Activate<Silu>{}, normed);
    if (shortcut_) {
      const VideoView<float> shortcut = stream.template like_x<float>(stream.second, hidden.channels);
      (*shortcut_)(execution, stream.x, Store{}, shortcut);
      stream.advance(stream.second, shortcut);
    }
    conv2_(execution, normed, Residual<float>{stream.x.rows()}, stream.x);
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

  void operator()(Stream<E>& stream) const {
    const E execution = stream.execution;
    const index_t channels = stream.x.channels, tokens = stream.x.pixels();
    const VideoView<T> normed = stream.template like_x<T>(stream.first, channels);
    norm_(execution, stream.x, Store{}, normed);
    const VideoView<float> packed = stream.template like_x<float>(stream.second, 3 * channels);
    queries_keys_values_(execution, normed, Store{}, packed);
    const auto part = [&](index_t i) {
      return HeadsView<float>{packed.data + i * channels, 1, tokens, 1, channels, 0, 3 * channels, channels};
    };
    const VideoView<float> attended = stream.template like_x<float>(stream.first, channels);
    attention(execution, part(0), part(1), part(2), CausalMask{},
              HeadsView<float>::dense(attended.data, 1, tokens, 1, channels), {});
    project_(execution, attended, Residual<float>{stream.x.rows()}, stream.x);
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

  void operator()(Stream<E>& stream, const Observer& observer) const {
    block_1_(stream);
    if (observer) observer(name_ + ".block_1", stream.x);
    attention_(stream);
    if (observer) observer(name_ + ".attn_1", stream.x);
    block_2_(stream);
    if (observer) observer(name_ + ".block_2", stream.x);
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
  void operator()(Stream<E>& stream) const {
    for (const auto& block : blocks_) block(stream);
  }

 private:
  std::vector<ResidualBlock<T, E>> blocks_;
};

}  // namespace stepvideo::model::vae
