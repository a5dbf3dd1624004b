// Videos each of whose elements is an element of another video, or a mean of some.
#pragma once
#include <stepvideo/core/element.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET {

// Each fixes a pixel of the result; the function that pixel() returns maps a channel to a value.

/// Each channel `repeat` times.
template <class In>
struct RepeatedChannels {
  VideoView<const In> in;
  index_t repeat;

  constexpr auto pixel(index_t frame, index_t y, index_t x) const {
    return [source = in.pixel(frame, y, x), times = repeat](index_t c) { return float(source[c / times]); };
  }
};

/// The mean of each `count` channels.
template <class In>
struct AveragedChannels {
  VideoView<const In> in;
  index_t count;

  constexpr auto pixel(index_t frame, index_t y, index_t x) const {
    return [source = in.pixel(frame, y, x), terms = count](index_t c) {
      float sum = 0;
      for (index_t i = 0; i < terms; ++i) sum += float(source[c * terms + i]);
      return sum / static_cast<float>(terms);
    };
  }
};

/// pixel_shuffle3d's result.
template <class In>
struct ShuffledPixels {
  VideoView<const In> in;
  index_t repeat, dropped_frames;

  constexpr auto pixel(index_t frame, index_t y, index_t x) const {
    const index_t shuffled = frame + dropped_frames;
    const index_t place = 4 * (shuffled % 2) + 2 * (y % 2) + x % 2;
    return [source = in.pixel(shuffled / 2, y / 2, x / 2), place, times = repeat](index_t c) {
      return float(source[(8 * c + place) / times]);
    };
  }
};

/// pixel_unshuffle3d's result.
template <class In>
struct UnshuffledPixels {
  VideoView<const In> in;
  index_t mean, front_frames;

  constexpr auto pixel(index_t frame, index_t y, index_t x) const {
    return [from = *this, first = 2 * frame - front_frames, y, x](index_t c) {
      float sum = 0;
      for (index_t channel = c * from.mean; channel < (c + 1) * from.mean; ++channel) {
        const index_t place = channel % 8, source = first + place / 4;
        if (source >= 0)
          sum += float(from.in.pixel(source, 2 * y + place / 2 % 2, 2 * x + place % 2)[channel / 8]);
      }
      return sum / static_cast<float>(from.mean);
    };
  }
};

/// out = epilogue(source), for every element of out.
template <class Source, Epilogue Finish, Element Out>
void rearrange(Host, const char*, const Source& source, const Finish& epilogue, VideoView<Out> out) {
  epilogue.require_fits(out.pixels(), out.channels);
#pragma omp parallel for collapse(2) schedule(static)
  for (index_t frame = 0; frame < out.frames; ++frame)
    for (index_t y = 0; y < out.height; ++y)
      for (index_t x = 0; x < out.width; ++x) {
        Out* target = out.pixel(frame, y, x);
        const auto value = source.pixel(frame, y, x);
        const auto finish = epilogue.row((target - out.data) / out.channels);
        for (index_t c = 0; c < out.channels; ++c) target[c] = Out(finish(value(c), c));
      }
}

}  // namespace stepvideo::conv_detail::inline STEPVIDEO_INSTRUCTION_SET
