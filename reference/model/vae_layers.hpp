// The layers that the VAE's encoder and decoder are made of, for any element type and execution.
#pragma once
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/norm/group_norm.hpp>

#include "io/checkpoint.hpp"
#include "model/vae_config.hpp"

namespace stepvideo::vae {

/// A buffer's way into and out of the memory of an execution; the host's memory is where it is already.
template <class T>
Buffer<T> to_execution(Host, Buffer<T> values) {
  return values;
}
template <class T>
Buffer<T> to_host(Host, Buffer<T> values) {
  return values;
}

/// A video whose storage grows to the largest extents it is given and is kept.
template <Element T, Execution E>
class Activation {
 public:
  /// Gives the video new extents; its content is lost.
  VideoView<T> reshape(E execution, index_t frames, index_t height, index_t width, index_t channels) {
    view_ = {nullptr, frames, height, width, channels};
    if (view_.size() > storage_.size()) {
      storage_ = {};  // the old memory goes before the new is asked for
      storage_ = Buffer<T, E>(execution, view_.size());
    }
    view_.data = storage_.data();
    return view_;
  }
  VideoView<T> view() const { return view_; }

 private:
  Buffer<T, E> storage_;
  VideoView<T> view_;
};

/// The video that runs through the layers, and two more for what is on its way. A layer reads and leaves its
/// result in `current`.
template <Element T, Execution E>
struct Stream {
  E execution;
  Activation<T, E> current{}, first{}, second{};

  VideoView<T> x() const { return current.view(); }
  /// `spare` with the current video's frames, height and width.
  VideoView<T> like_current(Activation<T, E>& spare, index_t channels) {
    return spare.reshape(execution, x().frames, x().height, x().width, channels);
  }
};

template <Element T, Execution E>
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
    shape_ = {stored[0] * count, stored[1], stored.size() == 5 ? taps(3) : 1, taps(2), taps(1)};
    Buffer<T> weight(shape_.elements()), bias(shape_.out_channels);
    for (index_t i = 0; i < count; ++i) {
      const Buffer<T> part = checkpoint.load<T>(names[i] + ".weight"),
                      part_bias = checkpoint.load<T>(names[i] + ".bias");
      std::copy(part.begin(), part.end(), weight.begin() + i * part.size());
      std::copy(part_bias.begin(), part_bias.end(), bias.begin() + i * part_bias.size());
    }
    const Buffer<T, E> placed = to_execution(execution, std::move(weight));
    packed_ = Buffer<T, E>(execution, conv_weight_elements(execution, shape_));
    pack_conv_weight(execution, placed.vector(), shape_, packed_.vector());
    bias_ = to_execution(execution, std::move(bias));
  }
  Convolution(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : Convolution(execution, checkpoint, std::vector{name}) {}

  index_t out_channels() const { return shape_.out_channels; }
  ConvWeight<T> weight() const { return {shape_, packed_.data()}; }
  VectorView<const T> bias() const { return bias_.vector(); }

  /// The causal convolution of `in` at stride 1 into `out`, which gets in's frames, height and width.
  template <Epilogue P = Store>
  void operator()(E execution, VideoView<T> in, VideoView<T> out, const P& epilogue = {}) const {
    causal_conv3d(execution, in, weight(), bias(), {}, out, epilogue);
  }

 private:
  ConvShape shape_;
  Buffer<T, E> packed_, bias_;
};

template <Element T, Execution E>
class Norm {
 public:
  Norm(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : weight_(to_execution(execution, checkpoint.load<T>(name + ".weight"))),
        bias_(to_execution(execution, checkpoint.load<T>(name + ".bias"))) {}

  template <Epilogue P>
  void operator()(E execution, VideoView<T> in, const P& epilogue, VideoView<T> out) const {
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

  void operator()(Stream<T, E>& stream) const {
    const E execution = stream.execution;
    const VideoView<T> normed = stream.like_current(stream.first, stream.x().channels);
    norm1_(execution, stream.x(), Activate<Silu>{}, normed);
    const VideoView<T> hidden = stream.like_current(stream.second, conv1_.out_channels());
    conv1_(execution, normed, hidden);
    norm2_(execution, hidden, Activate<Silu>{}, hidden);
    if (shortcut_) {
      const VideoView<T> wider = stream.like_current(stream.first, hidden.channels);
      (*shortcut_)(execution, stream.x(), wider);
      std::swap(stream.current, stream.first);
    }
    conv2_(execution, hidden, stream.x(), Residual<T>{stream.x().rows()});
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

  void operator()(Stream<T, E>& stream) const {
    const E execution = stream.execution;
    const index_t channels = stream.x().channels, tokens = stream.x().pixels();
    const VideoView<T> normed = stream.like_current(stream.first, channels);
    norm_(execution, stream.x(), Store{}, normed);
    const VideoView<T> packed = stream.like_current(stream.second, 3 * channels);
    queries_keys_values_(execution, normed, packed);
    const auto part = [&](index_t i) {
      return HeadsView<T>{packed.data + i * channels, 1, tokens, 1, channels, 0, 3 * channels, channels};
    };
    const VideoView<T> attended = normed;
    attention(execution, part(0), part(1), part(2), CausalMask{},
              HeadsView<T>::dense(attended.data, 1, tokens, 1, channels),
              AttentionOptions{.scale = 1.0f / std::sqrt(static_cast<float>(channels))});
    project_(execution, attended, stream.x(), Residual<T>{stream.x().rows()});
  }

 private:
  Norm<T, E> norm_;
  Convolution<T, E> queries_keys_values_, project_;
};

/// What a test sees of a run: each named layer's result, as it is made.
template <Element T>
using Observer = std::function<void(const std::string& layer, VideoView<const T> result)>;

/// Residual block, attention, residual block.
template <Element T, Execution E>
class Middle {
 public:
  Middle(E execution, const io::Checkpoint& checkpoint, const std::string& name)
      : name_(name),
        block_1_(execution, checkpoint, name + ".block_1"),
        attention_(execution, checkpoint, name + ".attn_1"),
        block_2_(execution, checkpoint, name + ".block_2") {}

  void operator()(Stream<T, E>& stream, const Observer<T>& observer) const {
    block_1_(stream);
    if (observer) observer(name_ + ".block_1", stream.x());
    attention_(stream);
    if (observer) observer(name_ + ".attn_1", stream.x());
    block_2_(stream);
    if (observer) observer(name_ + ".block_2", stream.x());
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
  void operator()(Stream<T, E>& stream) const {
    for (const auto& block : blocks_) block(stream);
  }

 private:
  std::vector<ResidualBlock<T, E>> blocks_;
};

}  // namespace stepvideo::vae
