// The cases of pixels and seams, for any place.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <stepvideo/core/philox.hpp>
#include <stepvideo/kernels/elementwise/pixels.hpp>

#include "oracle/sums.hpp"
#include "support/compare.hpp"
#include "support/place.hpp"
#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

/// What the layouts are to make of a frame, (height, width, 3), written down by themselves and in double: the
/// values that are rounded, in the order of the bytes.
class PixelOracle {
 public:
  PixelOracle(const float* frame, index_t height, index_t width)
      : frame_(frame), height_(height), width_(width) {}

  std::vector<double> operator()(const RgbPixels&) const {
    std::vector<double> bytes;
    for (index_t i = 0; i < height_ * width_ * 3; ++i) bytes.push_back(255 * level(i));
    return bytes;
  }
  template <int cell>
  std::vector<double> operator()(const YuvPixels<cell>& layout) const {
    const bool is_hd = layout.matrix == YuvMatrix::bt709();
    const double red = is_hd ? 0.2126 : 0.299, green = is_hd ? 0.7152 : 0.587, blue = is_hd ? 0.0722 : 0.114;
    std::vector<double> bytes, cb, cr;
    for (index_t i = 0; i < height_ * width_; ++i) {
      const double y = red * level(3 * i) + green * level(3 * i + 1) + blue * level(3 * i + 2);
      bytes.push_back(16 + 219 * y);
      cb.push_back(128 + 112 * (level(3 * i + 2) - y) / (1 - blue));
      cr.push_back(128 + 112 * (level(3 * i) - y) / (1 - red));
    }
    for (const auto& plane : {cb, cr})
      for (index_t row = 0; row < height_; row += cell)
        for (index_t column = 0; column < width_; column += cell) {
          double sum = 0;
          for (int y = 0; y < cell; ++y)
            for (int x = 0; x < cell; ++x)
              sum += plane[std::size_t(std::min(row + y, height_ - 1) * width_ +
                                       std::min(column + x, width_ - 1))];
          bytes.push_back(sum / (cell * cell));
        }
    return bytes;
  }

 private:
  double level(index_t i) const {
    return std::isnan(frame_[i]) ? 0 : (std::clamp(double{frame_[i]}, -1.0, 1.0) + 1) / 2;
  }

  const float* frame_;
  index_t height_, width_;
};

/// Whether `byte` is a value's nearest integer, or either one where the value is as good as between two.
inline bool is_nearest(std::uint8_t byte, double value) {
  return std::abs(byte - value) <= 0.5 + 1e-4;
}

/// Frames in memory that may begin anywhere, and bytes for them that hold none of the right values before.
template <class Layout, class Place>
class PixelRun {
 public:
  PixelRun(const Place& on, const Layout& layout, const Buffer<float>& frames, VideoView<float> extents,
           index_t offset)
      : on_(on), layout_(layout), extents_(extents), offset_(offset), frames_(place(on, frames)) {
    frame_bytes_ = layout.frame_bytes(extents.height, extents.width);
  }

  /// All bytes behind `poison`, and the marks, which were `marks` before.
  std::pair<Buffer<std::uint8_t>, Buffer<std::uint8_t>> operator()(const Buffer<std::uint8_t>& poison,
                                                                   const Buffer<std::uint8_t>& marks) const {
    const auto bytes = place(on_, poison), placed_marks = place(on_, marks);
    VideoView<const float> view = extents_;
    view.data = frames_.data() + offset_;
    run(on_, [&](auto execution) {
      frames_to_pixels(execution, view, layout_,
                       {bytes.data() + offset_ * 4, view.frames, view.height, view.width, frame_bytes_,
                        placed_marks.data()});
    });
    return {fetch(on_, bytes), fetch(on_, placed_marks)};
  }

 private:
  const Place& on_;
  const Layout& layout_;
  VideoView<float> extents_;
  index_t offset_, frame_bytes_;
  PlacedBuffer<float, Place> frames_;
};

template <class Layout, class Place>
void check_pixels(const Place& on, std::mt19937& engine, const Layout& layout, VideoView<float> extents,
                  index_t offset) {
  const index_t frame_size = extents.height * extents.width * 3;
  const index_t frame_bytes = layout.frame_bytes(extents.height, extents.width);
  auto frames = random_normal<float>(offset + extents.size(), engine, 0.7f);
  Buffer<std::uint8_t> marks(extents.frames), expected_marks(extents.frames);
  for (index_t frame = 0; frame < extents.frames; ++frame) {
    marks[frame] = expected_marks[frame] = frame % 3 == 2 ? 7 : 0;
    if (random_int(engine, 0, 2) > 0) continue;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const float bad[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()};
    frames[offset + frame * frame_size + random_int(engine, 0, static_cast<int>(frame_size) - 1)] =
        bad[random_int(engine, 0, 2)];
    expected_marks[frame] = 1;
  }
  // Bytes before and behind the frames stay.
  Buffer<std::uint8_t> poison(offset * 4 + extents.frames * frame_bytes + 5);
  std::ranges::fill(poison, std::uint8_t{1});
  std::vector<double> expected;
  for (index_t frame = 0; frame < extents.frames; ++frame) {
    const float* const values = frames.data() + offset + frame * frame_size;
    if constexpr (!std::same_as<Layout, FloatPixels>) {
      const auto of_frame = PixelOracle(values, extents.height, extents.width)(layout);
      expected.insert(expected.end(), of_frame.begin(), of_frame.end());
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i)
    poison[offset * 4 + static_cast<index_t>(i)] = static_cast<std::uint8_t>(expected[i] < 128 ? 255 : 0);

  const auto [bytes, made_marks] = PixelRun(on, layout, frames, extents, offset)(poison, marks);
  const auto where = [&] { return shape_text(extents) + " at " + std::to_string(offset); };
  BOOST_CHECK_MESSAGE(same_bits(made_marks, expected_marks), "the marks of " << where());
  const index_t last = offset * 4 + extents.frames * frame_bytes;
  BOOST_CHECK_MESSAGE(std::equal(poison.begin(), poison.begin() + offset * 4, bytes.begin()) &&
                          std::equal(poison.begin() + last, poison.end(), bytes.begin() + last),
                      where() << ": bytes around the frames were written");
  if constexpr (std::same_as<Layout, FloatPixels>) {
    BOOST_CHECK_MESSAGE(std::equal(bytes.begin() + offset * 4, bytes.begin() + last,
                                   reinterpret_cast<const std::uint8_t*>(frames.data() + offset)),
                        where() << ": floats are lost");
  } else {
    BOOST_REQUIRE_EQUAL(expected.size(), static_cast<std::size_t>(last - offset * 4));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::uint8_t byte = bytes[offset * 4 + static_cast<index_t>(i)];
      if (is_nearest(byte, expected[i])) continue;
      BOOST_ERROR(where() << ": byte " << i << " is " << int{byte} << " and should be " << expected[i]);
      break;
    }
  }
  const auto [host_bytes, host_marks] = PixelRun(host, layout, frames, extents, offset)(poison, marks);
  BOOST_CHECK_MESSAGE(same_bits(bytes, host_bytes), where() << ": other bytes than the host's");
}

/// Calls body(layout) for every one.
template <class Body>
void for_each_layout(Body&& body) {
  body(FloatPixels{});
  body(RgbPixels{});
  for (const YuvMatrix matrix : {YuvMatrix::bt601(), YuvMatrix::bt709()}) {
    body(YuvPixels<1>{matrix});
    body(YuvPixels<2>{matrix});
  }
}

/// Odd sizes and such that words fit, anywhere in memory.
template <class Place>
void pixels_are_the_nearest(const Place& on, int trials = 30) {
  std::mt19937 engine(31);
  for (int trial = 0; trial < trials; ++trial) {
    const int widths[] = {1, 2, 3, 4, 8, 12, 16, 31, 56, 523, 1040};
    const VideoView<float> extents{nullptr, random_int(engine, 1, 5), random_int(engine, 1, 9),
                                   widths[random_int(engine, 0, 10)], 3};
    const index_t offset = trial % 2 == 0 ? 0 : random_int(engine, 0, 4);
    for_each_layout([&](const auto& layout) { check_pixels(on, engine, layout, extents, offset); });
  }
}

/// More frames, and more rows, than a grid has blocks in z and y.
template <class Place>
void frames_and_rows_beyond_a_grid(const Place& on) {
  std::mt19937 engine(32);
  for (const VideoView<float>& extents :
       {VideoView<float>{nullptr, 65'540, 1, 2, 3}, {nullptr, 1, 131'077, 1, 3}})
    for_each_layout([&](const auto& layout) { check_pixels(on, engine, layout, extents, 0); });
}

/// Every level and its neighbours, and halves: ties are rounded as they always were.
template <class Place>
void bytes_stay_what_they_were(const Place& on) {
  const VideoView<float> extents{nullptr, 2, 68, 126, 3};
  Buffer<float> frames(extents.size());
  for (index_t i = 0; i < frames.size(); ++i)
    frames[i] = i % 5 == 0 ? static_cast<float>(i % 511 - 255) / 255.0f
                           : 0.7f * unit_normal(17, static_cast<std::uint64_t>(i));
  // Of the writers that converted frames before there was this kernel: RGB, then 4:4:4 and 4:2:0 in BT.601
  // and in BT.709.
  std::vector<std::uint64_t> hashes, known{1203385469479519224u, 10742250795929584449u, 1041651484147137633u,
                                           4199767818686487765u, 15887387170169474151u};
  for_each_layout([&](const auto& layout) {
    if constexpr (std::same_as<std::decay_t<decltype(layout)>, FloatPixels>) return;
    Buffer<std::uint8_t> poison(extents.frames * layout.frame_bytes(extents.height, extents.width)), marks(2);
    std::ranges::fill(poison, std::uint8_t{0});
    std::ranges::fill(marks, std::uint8_t{0});
    std::uint64_t hash = 0xCBF2'9CE4'8422'2325u;  // FNV-1a
    for (const std::uint8_t byte : PixelRun(on, layout, frames, extents, 0)(poison, marks).first)
      hash = (hash ^ byte) * 0x100'0000'01B3u;
    hashes.push_back(hash);
  });
  BOOST_CHECK_EQUAL_COLLECTIONS(hashes.begin(), hashes.end(), known.begin(), known.end());
}

template <class Place>
void a_seam_draws_its_two_frames_together(const Place& on) {
  std::mt19937 engine(33);
  for (const index_t size : {1, 3, 4, 1023, 4096}) {
    for (const index_t offset : {0, 1}) {
      const auto last = random_normal<float>(offset + size, engine),
                 first = random_normal<float>(offset + size, engine);
      oracle::Sums expected_last, expected_first;
      for (index_t i = 0; i < offset + size; ++i) {
        const double a = last[i], b = first[i], drawn = i < offset ? b : 0.6 * b + 0.4 * a;
        expected_first.add(drawn, std::abs(a) + std::abs(b));
        expected_last.add(i < offset ? a : 0.6 * a + 0.4 * drawn, std::abs(a) + std::abs(b));
      }
      const auto joined = [&](const auto& where) {
        const auto placed_last = place(where, last), placed_first = place(where, first);
        run(where, [&](auto execution) {
          join_seam(execution, {placed_last.data() + offset, size}, {placed_first.data() + offset, size});
        });
        return std::pair(fetch(where, placed_last), fetch(where, placed_first));
      };
      const auto [made_last, made_first] = joined(on);
      check_each<float>(made_last, expected_last, {.float_roundings = 3});
      check_each<float>(made_first, expected_first, {.float_roundings = 3});
      const auto [host_last, host_first] = joined(host);
      BOOST_CHECK(same_bits(made_last, host_last) && same_bits(made_first, host_first));
    }
  }
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void pixels_refuse_by_name(E execution) {
  const Buffer<float> values(2 * 4 * 6 * 3);
  const Buffer<std::uint8_t> bytes(2 * 72), marks(2);
  const VideoView<const float> frames{values.data(), 2, 4, 6, 3};
  const PixelFrames<std::uint8_t> out{bytes.data(), 2, 4, 6, 72, marks.data()};
  const auto refuses = [&](VideoView<const float> in, const PixelFrames<std::uint8_t>& to, const char* text) {
    check_refused([&] { frames_to_pixels(execution, in, RgbPixels{}, to); }, text);
  };
  refuses({values.data(), 2, 4, 6, 2}, out, "frames are (2, 4, 6, 2); they must have 3 channels");
  refuses({values.data(), 1, 4, 6, 3}, out, "frames are (1, 4, 6, 3) and out is (2, 4, 6) with 72 bytes");
  refuses({nullptr, 2, 4, 6, 3}, out, "frames_to_pixels: frames has no data for its 144 elements");
  auto other = out;
  other.frame_bytes = 48;
  refuses(frames, other, "with 48 bytes a frame; they must agree, with 72 bytes");
  other = out, other.data = nullptr;
  refuses(frames, other, "frames_to_pixels: out has no data");
  other = out, other.marks = nullptr;
  refuses(frames, other, "frames_to_pixels: marks has no data for its 2 elements");
  check_refused(
      [&] {
        join_seam(execution, values.vector(), {values.data(), 3});
      },
      "join_seam: the frames have 144 and 3 elements");
  check_refused(
      [&] {
        join_seam(execution, values.vector(), {nullptr, 144});
      },
      "join_seam: first has no data");
}

template <Execution E>
void no_pixels_leave_nothing_to_do(E execution) {
  for (const auto& [frames, height, width] : {std::array<index_t, 3>{0, 4, 6}, {2, 0, 6}, {2, 4, 0}})
    for_each_layout([&](const auto& layout) {
      frames_to_pixels(execution, VideoView<const float>{nullptr, frames, height, width, 3}, layout,
                       {nullptr, frames, height, width, layout.frame_bytes(height, width), nullptr});
    });
  join_seam(execution, {}, {});
}

}  // namespace stepvideo::testing
