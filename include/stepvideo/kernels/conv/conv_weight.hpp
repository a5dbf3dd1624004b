// Convolution weights as the host's kernel reads them: repacked once, when a model is loaded.
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/tile/conv_tile.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// A packed weight, as pack_conv_weight left it.
template <class T>
struct ConvWeight {
  ConvShape shape;
  const T* packed = nullptr;
};

/// The packed order: output-channel block, patch of input channels, tap, input channel, output channel. The
/// last block is as many whole vectors wide as its channels need; the channels it lacks have zero weights.
struct ConvWeightLayout {
  static constexpr index_t block_channels = ConvTilePolicy::block_channels;
  static constexpr index_t patch_channels = ConvTilePolicy::patch_channels;

  ConvShape shape;

  constexpr index_t blocks() const { return (shape.out_channels + block_channels - 1) / block_channels; }
  /// Width of a block in vectors.
  constexpr int vectors(index_t block) const {
    const index_t channels = std::min(block_channels, shape.out_channels - block * block_channels);
    return static_cast<int>((channels + simd_floats - 1) / simd_floats);
  }
  constexpr index_t width(index_t block) const { return vectors(block) * simd_floats; }
  /// Where the weights of an input channel at a tap begin.
  constexpr index_t offset(index_t block, index_t in_channel, int tap) const {
    const index_t patch = in_channel / patch_channels * patch_channels;
    const index_t channels = std::min(patch_channels, shape.in_channels - patch);
    const index_t row = patch * shape.taps() + tap * channels + (in_channel - patch);
    return block * block_channels * shape.in_channels * shape.taps() + row * width(block);
  }
  constexpr index_t elements() const {
    const index_t last = blocks() - 1;
    return (last * block_channels + width(last)) * shape.in_channels * shape.taps();
  }
};

/// Elements of the packed weight.
inline index_t conv_weight_elements(Host, const ConvShape& shape) {
  return ConvWeightLayout{shape}.elements();
}

/// Packs the checkpoint's (out, in, kernel frames, kernel height, kernel width). Throws RequestError when a
/// size does not fit the shape.
template <Element T>
void pack_conv_weight(Host, std::type_identity_t<VectorView<const T>> weight, const ConvShape& shape,
                      VectorView<T> packed) {
  const ConvWeightLayout layout{shape};
  require(weight.size == shape.elements() && packed.size == layout.elements(), [&] {
    return "pack_conv_weight: the weight has " + std::to_string(weight.size) +
           " elements and the packed one " + std::to_string(packed.size) + "; for " + to_string(shape) +
           " they must be " + std::to_string(shape.elements()) + " and " + std::to_string(layout.elements());
  });
#pragma omp parallel for schedule(static)
  for (index_t block = 0; block < layout.blocks(); ++block) {
    const index_t first = block * layout.block_channels, width = layout.width(block);
    for (index_t in = 0; in < shape.in_channels; ++in)
      for (int tap = 0; tap < shape.taps(); ++tap) {
        T* target = packed.data + layout.offset(block, in, tap);
        for (index_t i = 0; i < width; ++i) {
          const index_t out = first + i;
          target[i] = out < shape.out_channels ? weight[(out * shape.in_channels + in) * shape.taps() + tap]
                                               : T(0.0f);
        }
      }
  }
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
