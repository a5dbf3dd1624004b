// Random convolutions for tests, and their comparison with the oracle.
#pragma once
#include <array>
#include <cmath>

#include <stepvideo/kernels/conv/causal_conv3d.hpp>

#include "oracle/conv.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

/// A layer with random weights, in the checkpoint's order and, of an element that the host serves, packed for
/// it.
template <class T, ConvForm form = ConvForm::plain>
struct ConvLayer {
  ConvShape shape;
  Buffer<T> weight, bias, storage;

  ConvLayer(const ConvShape& of, std::mt19937& engine)
      : shape(of),
        weight(random_normal<T>(of.elements(), engine)),
        bias(random_normal<T>(of.out_channels, engine)) {
    if constexpr (HostElement<T>) {
      storage = poisoned<T>(conv_weight_elements<form>(host, of));
      pack_conv_weight<form>(host, weight.vector(), shape, storage.vector());
    }
  }
  PackedConvWeight<T, Host, form> packed() const { return {shape, conv_detail::host_order, storage.data()}; }
};

/// A layer in the memory of a place, packed there.
template <class T, ConvForm form, class Place>
struct PlacedConvLayer {
  PlacedBuffer<T, Place> weight, bias, storage;
  PackedConvWeight<T, decltype(execution_of(std::declval<const Place&>())), form> packed;

  PlacedConvLayer(const Place& where, const ConvLayer<T, form>& layer)
      : weight(place(where, layer.weight)),
        bias(place(where, layer.bias)),
        storage(place(where, poisoned<T>(conv_weight_elements<form>(execution_of(where), layer.shape)))) {
    run(where, [&](auto execution) {
      packed = pack_conv_weight<form>(execution, weight.vector(), layer.shape, storage.vector());
    });
  }
};

/// One random case of a layer and (frames, height, width) of its input.
template <class T, ConvForm form = ConvForm::plain>
struct ConvCase {
  ConvLayer<T, form> layer;
  std::array<index_t, 3> extents;
  Buffer<T> in, residual_values;

  ConvCase(const ConvShape& shape, std::array<index_t, 3> of, std::mt19937& engine)
      : layer(shape, engine),
        extents(of),
        in(random_normal<T>(of[0] * of[1] * of[2] * shape.in_channels, engine)),
        residual_values(random_normal<T>(8 * of[0] * of[1] * of[2] * shape.out_channels, engine, 5.0f)) {}

  VideoView<const T> view() const { return view_of(in.data()); }
  oracle::Video video() const { return oracle::Video(view()); }

  /// A sum of so many terms in the order of the tiles; after a doubling each weight was rounded once more.
  Budget budget() const {
    const double terms = static_cast<double>(layer.shape.taps() * layer.shape.in_channels);
    const bool rounds_weights = form == ConvForm::after_doubling;
    return {.float_roundings = 4 + 2 * std::sqrt(terms) + (rounds_weights ? 3 : 0),
            .element_roundings = rounds_weights ? 1.0 : 0.0};
  }

  /// `convolve(execution, in, packed weight, bias, epilogue, out)` against `formula(in, weight, bias)`, which
  /// pads by itself: alone, and added to a residual that is the output itself.
  template <class Place, class Convolve, class Formula>
  void check(const Place& where, Convolve&& convolve, Formula&& formula) const {
    BOOST_TEST_CONTEXT("weight " << to_string(layer.shape) << " on " << extents[0] << "x" << extents[1] << "x"
                                 << extents[2]) {
      oracle::Video expected = formula(video(), layer.weight, layer.bias);
      oracle::Video summed = formula(oracle::magnitudes(video()), oracle::magnitudes(layer.weight),
                                     oracle::magnitudes(layer.bias));
      const index_t size = static_cast<index_t>(expected.values.size());
      const PlacedConvLayer<T, form, Place> placed(where, layer);
      const auto placed_in = place(where, in);
      const auto result = [&](const Buffer<T>& before, auto&& epilogue_of) {
        const auto out = place(where, before);
        const VideoView<T> view{out.data(), expected.frames, expected.height, expected.width,
                                expected.channels};
        run(where, [&](auto execution) {
          convolve(execution, view_of(placed_in.data()), placed.packed, placed.bias.vector(),
                   epilogue_of(view), view);
        });
        return fetch(where, out);
      };
      check_each<T>(result(poisoned<T>(size), [](auto) { return Store{}; }), expected.values, summed.values,
                    budget());

      Buffer<T> before(size);
      std::copy_n(residual_values.data(), size, before.data());
      for (index_t i = 0; i < size; ++i) {
        expected.values[i] += double(before[i]);
        summed.values[i] += std::abs(double(before[i]));
      }
      check_each<T>(result(before, [](auto out) { return Residual<T>{out.rows()}; }), expected.values,
                    summed.values, budget());
    }
  }

 private:
  VideoView<const T> view_of(const T* data) const {
    return {data, extents[0], extents[1], extents[2], layer.shape.in_channels};
  }
};

}  // namespace stepvideo::testing
