// Convolution weights as the host's kernel reads them: repacked once, when a model is loaded.
#pragma once
#include <algorithm>
#include <concepts>
#include <string>
#include <type_traits>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/mistaken_call.hpp>
#include <stepvideo/kernels/conv/conv_shape.hpp>
#include <stepvideo/kernels/tile/conv_tile.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo {

/// In which order a packed weight lies. The host's: in blocks of output channels, each in whole vectors, and
/// in patches of input channels; it follows the instruction set of the unit that packed it. A GPU's has none
/// of them: (places, taps, out channels, in channels).
struct ConvWeightOrder {
  index_t vector_channels = 0, block_channels = 0, patch_channels = 0;
  constexpr bool operator==(const ConvWeightOrder&) const = default;
};

inline constexpr ConvWeightOrder device_conv_order{};

inline std::string to_string(const ConvWeightOrder& order) {
  return "vectors of " + std::to_string(order.vector_channels) + ", blocks of " +
         std::to_string(order.block_channels) + " and patches of " + std::to_string(order.patch_channels) +
         " channels";
}

/// A view of a weight that pack_conv_weight has put in order, which it says. `shape` is the checkpoint's.
template <Element T, Execution E, ConvForm form = ConvForm::plain>
class PackedConvWeight {
 public:
  PackedConvWeight() = default;
  /// What pack_conv_weight returns, and what may be made of a packed weight kept elsewhere, with its order.
  constexpr PackedConvWeight(const ConvShape& shape, const ConvWeightOrder& order, const T* data)
      : shape_(shape), order_(order), data_(data) {}

  constexpr const ConvShape& shape() const { return shape_; }
  constexpr const ConvWeightOrder& order() const { return order_; }
  constexpr const T* data() const { return data_; }

 private:
  ConvShape shape_;
  ConvWeightOrder order_;
  const T* data_ = nullptr;
};

/// What pack_conv_weight requires of its memory; `elements` is what the packed weight takes.
template <Element T>
void require_packable(VectorView<const T> weight, const ConvShape& shape, VectorView<T> packed,
                      index_t elements) {
  require(weight.size == shape.elements() && packed.size == elements, [&] {
    return "pack_conv_weight: the weight has " + std::to_string(weight.size) +
           " elements and the packed one " + std::to_string(packed.size) + "; for " + to_string(shape) +
           " they must be " + std::to_string(shape.elements()) + " and " + std::to_string(elements);
  });
  require(weight.data != nullptr && packed.data != nullptr, [&] {
    return std::string("pack_conv_weight: the ") + (weight.data == nullptr ? "" : "packed ") +
           "weight has no memory; its data must not be null";
  });
}

/// Throws RequestError unless the weight was packed, and in the order that the kernel reads.
template <Element T, Execution E, ConvForm form>
void require_packed(const char* kernel, const PackedConvWeight<T, E, form>& weight,
                    const ConvWeightOrder& order) {
  require(weight.data() != nullptr, [&] {
    return std::string(kernel) + ": the weight has no memory; pack_conv_weight returns one that does";
  });
  require(weight.order() == order, [&] {
    return std::string(kernel) + ": the weight is packed in " + to_string(weight.order()) +
           " and this code was compiled to read " + to_string(order) +
           "; pack it in a unit that is compiled with the same -m flags";
  });
}

}  // namespace stepvideo

namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET {

inline constexpr ConvWeightOrder host_order{simd_floats, ConvTilePolicy::block_channels,
                                            ConvTilePolicy::patch_channels};

/// Where the host finds a weight (out, in, taps): output-channel block, patch of input channels, tap, input
/// channel, output channel. The last block is as many whole vectors wide as its channels need; the channels
/// it lacks have zero weights.
struct WeightLayout {
  static constexpr index_t block_channels = host_order.block_channels;
  static constexpr index_t patch_channels = host_order.patch_channels;

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

/// One output and input channel's weight at a tap of a place: after a doubling the sum, in float32, of the
/// taps that meet the same input.
template <ConvForm form, Element T>
constexpr T weight_at(const T* taps, const ConvShape& shape, int place, int tap) {
  if constexpr (form == ConvForm::plain) {
    return taps[tap];
  } else {
    const DoubledPlace doubled = DoubledPlace::of(shape, place);
    const auto range = [](const DoubledTaps& along, int at, int kernel) {
      if (kernel == 1) return std::array{0, 1};
      return at == 0 ? std::array{0, along.split} : std::array{along.split, kernel};
    };
    const auto frames = range(doubled.frames, tap / 4, shape.kernel_frames);
    const auto rows = range(doubled.height, tap / 2 % 2, 3), columns = range(doubled.width, tap % 2, 3);
    float sum = 0;
    for (int t = frames[0]; t < frames[1]; ++t)
      for (int v = rows[0]; v < rows[1]; ++v)
        for (int u = columns[0]; u < columns[1]; ++u) sum += float(taps[(t * 3 + v) * 3 + u]);
    return T(sum);
  }
}

}  // namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Elements of the packed weight. Throws RequestError where the shape or the form is not built.
template <ConvForm form = ConvForm::plain>
index_t conv_weight_elements(Host, const ConvShape& shape) {
  require_conv_weight("conv_weight_elements", shape, form);
  using Places = ConvPlaces<form>;
  return Places::of(shape) * conv_detail::WeightLayout{Places::weight(shape)}.elements();
}

/// Packs the checkpoint's (out, in, kernel frames, kernel height, kernel width) into memory of
/// conv_weight_elements<form>() elements, and returns the view that convolutions take. After a doubling, taps
/// are summed in float32 and rounded to T once. Throws RequestError when a size does not fit the shape.
template <ConvForm form = ConvForm::plain, HostElement T>
PackedConvWeight<T, Host, form> pack_conv_weight(Host, std::type_identity_t<VectorView<const T>> weight,
                                                 const ConvShape& shape, VectorView<T> packed) {
  using Places = ConvPlaces<form>;
  require_packable(weight, shape, packed, conv_weight_elements<form>(host, shape));
  const conv_detail::WeightLayout layout{Places::weight(shape)};
#pragma omp parallel for collapse(2) schedule(static)
  for (int place = 0; place < Places::of(shape); ++place)
    for (index_t block = 0; block < layout.blocks(); ++block) {
      const index_t first = block * layout.block_channels, width = layout.width(block);
      T* const place_data = packed.data + place * layout.elements();
      for (index_t in = 0; in < shape.in_channels; ++in)
        for (int tap = 0; tap < layout.shape.taps(); ++tap) {
          T* target = place_data + layout.offset(block, in, tap);
          for (index_t i = 0; i < width; ++i) {
            const index_t out = first + i;
            target[i] =
                out < shape.out_channels
                    ? conv_detail::weight_at<form>(
                          weight.data + (out * shape.in_channels + in) * shape.taps(), shape, place, tap)
                    : T(0.0f);
          }
        }
    }
  return {shape, conv_detail::host_order, packed.data};
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET

namespace stepvideo {

namespace calls {
struct PackConvWeight;
}  // namespace calls

/// A call whose form for GPUs is not included, to say where that is.
template <std::same_as<Device> D, class... Arguments>
requires(!calls::has_form<calls::PackConvWeight, D>)
    PackedConvWeight<float, Device> pack_conv_weight(D, const Arguments&...) {
  // clang-format off
  static_assert(calls::has_form<calls::PackConvWeight, D>, "pack_conv_weight on a Device is in <stepvideo/kernels/conv/conv_weight.cuh>, which nvcc compiles");
  // clang-format on
  return {};
}

}  // namespace stepvideo
