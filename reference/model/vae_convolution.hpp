// The two layers that the VAE's others are made of: a convolution and the norm before it, of which fp8 may
// lie between.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/quantized.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/elementwise/quantize_rows.hpp>
#include <stepvideo/kernels/norm/group_norm.hpp>
#include <stepvideo/kernels/tile/part_moments.hpp>
#include <stepvideo/kernels/tile/scale_and_bias.hpp>

#include "model/parameter.hpp"
#include "model/vae_config.hpp"
#include "model/vae_run.hpp"

namespace stepvideo::model::vae {

/// What a convolution reads, and its weights, are N: T, or fp8, of which a weight has a scale for each output
/// channel and the input one in all.
template <Element T, Execution E, ConvForm form = ConvForm::plain, Element N = T>
class Convolution {
 public:
  static constexpr bool is_fp8 = std::same_as<N, fp8_e4m3>;

  /// The tensors `name`.weight, (out, in, 3, 3, 3) or (out, in, 3, 3), and .bias. Several names of one shape
  /// are stacked along the output channels. `of_input` is how the input was quantised. Throws RequestError
  /// naming the tensor where fp8 does not serve it.
  Convolution(const ParameterLoader<E>& from, const std::vector<std::string>& names,
              const Fp8Scale& of_input = {}) {
    const io::Shape& stored = from.source.shape(names.front() + ".weight");
    const auto taps = [&](std::size_t from_last) {
      return static_cast<int>(stored[stored.size() - from_last]);
    };
    const index_t count = static_cast<index_t>(names.size());
    const ConvShape shape{stored[0] * count, stored[1], stored.size() == 5 ? taps(3) : 1, taps(2), taps(1)};
    const Buffer<T, E> weight(from.execution, shape.elements());
    bias_ = Buffer<T, E>(from.execution, shape.out_channels);
    const auto part = [&](const Buffer<T, E>& all, index_t i) {
      return VectorView<T>{all.data() + i * (all.size() / count), all.size() / count};
    };
    for (index_t i = 0; i < count; ++i) {
      from.source.read(names[i] + ".weight", part(weight, i));
      from.source.read(names[i] + ".bias", part(bias_, i));
    }
    storage_ = Buffer<N, E>(from.execution, conv_weight_elements<form>(from.execution, shape));
    const auto pack = [&](VectorView<const N> elements) {
      packed_ = pack_conv_weight<form>(from.execution, elements, shape, storage_.vector());
    };
    if constexpr (is_fp8) {
      require(shape.in_channels % 16 == 0, [&] {
        return names.front() + ".weight has " + std::to_string(shape.in_channels) +
               " input channels; fp8 takes multiples of 16, --vae-precision bf16 any";
      });
      const Buffer<N, E> elements(from.execution, weight.size());
      scales_ = quantized_rows(from.execution, weight, shape.out_channels, elements, of_input);
      pack(elements.vector());
    } else {
      pack(weight.vector());
    }
  }
  Convolution(const ParameterLoader<E>& from, const std::string& name, const Fp8Scale& of_input = {})
      : Convolution(from, std::vector{name}, of_input) {}

  const PackedConvWeight<N, E, form>& weight() const { return packed_; }

  /// The causal convolution.
  template <class In, Epilogue Finish, Element Out>
  void operator()(const Run<E>& run, VideoView<In> in, const ConvOptions& options, const Finish& epilogue,
                  VideoView<Out> out) const {
    causal_conv3d(run.execution, in, weight(), bias(), options, finishing(epilogue), out);
    run.did(Work::convolution, flops(out));
  }
  /// The same before a norm: what it returns, the norm takes. On a GPU the norm then reads its input once.
  template <class In, Epilogue Finish, Element Out>
  PartMomentsView before_norm(const Run<E>& run, VideoView<In> in, const ConvOptions& options,
                              const Finish& epilogue, VideoView<Out> out) const {
    if constexpr (std::same_as<E, Host>) {
      (*this)(run, in, options, epilogue, out);
      return {};
    } else {
      PartMomentsView left = conv_moments(run.execution, in, weight(), options, finishing(epilogue), out,
                                          index_t{VaeConfig::norm_groups});
      Workspace workspace = run.moments;
      if (left.size() > 0) left.data = workspace.take<PartMoments>(left.size());
      causal_conv3d(run.execution, in, weight(), bias(), options, finishing(epilogue), out, left);
      run.did(Work::convolution, flops(out));
      return left;
    }
  }
  /// Of each frame alone.
  template <class In, Element Out>
  void of_frames(const Run<E>& run, VideoView<In> in, const ConvOptions& options, VideoView<Out> out) const {
    conv2d(run.execution, in, weight(), bias(), options, Store{}, out);
    run.did(Work::convolution, flops(out));
  }
  /// Of a run's frames behind those in `past`, for which there is room before `fresh`, too; afterwards `past`
  /// holds what the next run needs.
  template <Epilogue Finish, Element Out>
  PartMomentsView behind(const Run<E>& run, VideoView<N> past, VideoView<N> fresh, const Finish& epilogue,
                         VideoView<Out> out) const {
    PartMomentsView left;
    behind_past(run, past, fresh, [&](VideoView<N> window, const ConvOptions& options) {
      left = before_norm(run, window, options, epilogue, out);
    });
    return left;
  }
  /// The same with the first `skipped` of the run's frames left out of the result, up to all of them, and no
  /// norm behind it.
  template <Element Out>
  void behind_skipping(const Run<E>& run, VideoView<N> past, VideoView<N> fresh, int skipped,
                       VideoView<Out> out) const {
    behind_past(run, past, fresh, [&](VideoView<N> window, ConvOptions options) {
      options.skipped_frames = skipped;
      if (out.frames > 0) (*this)(run, window, options, Store{}, out);
    });
  }

 private:
  VectorView<const N> bias() const {
    if constexpr (is_fp8)
      return {};
    else
      return bias_.vector();
  }
  /// What the kernel does to its sums.
  template <Epilogue Finish>
  auto finishing(const Finish& epilogue) const {
    if constexpr (is_fp8)
      return chain(ScaleAndBias<T>{scales_.vector(), bias_.vector()}, epilogue);
    else
      return epilogue;
  }
  /// fp8 of `weight`, a row for each output channel, in `elements`; returns what a channel's sums are
  /// multiplied with.
  static Buffer<float, E> quantized_rows(E execution, const Buffer<T, E>& weight, index_t rows,
                                         const Buffer<N, E>& elements, const Fp8Scale& of_input) {
    Buffer<float, E> scales(execution, rows);
    const index_t width = weight.size() / rows;
    quantize_rows(execution, TokensView<const T>::dense(weight.data(), 1, rows, width),
                  ScaledTokensView{TokensView<N>::dense(elements.data(), 1, rows, width), scales.vector()});
    const Buffer<float> on_host(rows);
    download(execution, scales.vector(), on_host.data());
    for (float& scale : on_host) scale *= of_input.scale;
    upload(execution, on_host.data(), scales.vector());
    return scales;
  }

  template <class Convolve>
  void behind_past(const Run<E>& run, VideoView<N> past, VideoView<N> fresh, Convolve&& convolve) const {
    const index_t held = std::min(run.past_frames, past.frames);
    VideoView<N> window = fresh;
    window.frames += held;
    window.data -= held * fresh.height * fresh.width * fresh.channels;
    copy_frames(run, past.frames_from(0, held), window.frames_from(0, held));
    convolve(window, ConvOptions{.past_frames = static_cast<int>(held)});
    if (!run.goes_on) return;
    const index_t kept = std::min(past.frames, window.frames);
    copy_frames(run, window.frames_from(window.frames - kept, kept), past.frames_from(0, kept));
  }
  template <class Out>
  double flops(const VideoView<Out>& out) const {
    const ConvShape& shape = packed_.shape();
    return 2.0 * static_cast<double>(out.size()) *
           static_cast<double>(shape.in_channels * ConvPlaces<form>::weight(shape).taps());
  }
  static void copy_frames(const Run<E>& run, VideoView<N> from, VideoView<N> to) {
    if (from.size() == 0) return;
    copy(run.execution, VectorView<const N>{from.data, from.size()}, VectorView<N>{to.data, to.size()});
    run.did(Work::other);
  }

  Buffer<N, E> storage_;
  Buffer<T, E> bias_;
  Buffer<float, E> scales_;              // of fp8
  PackedConvWeight<N, E, form> packed_;  // in storage_, whose memory stays where it is when this is moved
};

/// A GroupNorm, whose result is N: T, or fp8 with one scale.
template <Element T, Execution E, Element N = T>
class Norm {
 public:
  Norm(const ParameterLoader<E>& from, const std::string& name)
      : weight_(from.template load<T>(name + ".weight")), bias_(from.template load<T>(name + ".bias")) {
    if constexpr (std::same_as<N, fp8_e4m3>) quantization_ = quantization_of(from.execution);
  }

  /// What its fp8 is, the same for every input.
  const Fp8Scale& quantization() const { return quantization_; }

  /// `moments` of `in`, where a convolution has left some.
  template <class In, Epilogue Finish, Element Out>
  void operator()(const Run<E>& run, VideoView<In> in, const Finish& epilogue, VideoView<Out> out,
                  const PartMomentsView& moments = {}) const {
    const auto normalize = [&](const auto&... left) {
      group_norm(run.execution, in, weight_.vector(), bias_.vector(), VaeConfig::norm_groups,
                 VaeConfig::norm_epsilon, quantizing<Out>(epilogue), out, run.scratch, left...);
    };
    if constexpr (std::same_as<E, Host>)
      normalize();
    else
      normalize(moments);
    run.did(Work::norm);
  }

 private:
  template <class Out, Epilogue Finish>
  auto quantizing(const Finish& epilogue) const {
    if constexpr (std::same_as<Out, fp8_e4m3>)
      return chain(epilogue, Activate<Fp8Scale>{quantization_});
    else
      return epilogue;
  }
  /// Normed values are of the size of the weight. What lies 32 times further out saturates; what is a
  /// thousandth of it still has fp8's three bits.
  Fp8Scale quantization_of(E execution) const {
    constexpr float furthest = 32;
    const Buffer<T> weight(weight_.values.size()), bias(bias_.values.size());
    download(execution, weight_.values.vector(), weight.data());
    download(execution, bias_.values.vector(), bias.data());
    float largest = 0;
    for (index_t c = 0; c < weight.size(); ++c)
      largest = std::max(largest, furthest * std::abs(float(weight[c])) + std::abs(float(bias[c])));
    return Fp8Scale::of(largest);
  }

  Parameter<T, E> weight_, bias_;
  Fp8Scale quantization_;
};

}  // namespace stepvideo::model::vae
