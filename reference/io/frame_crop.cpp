#include "io/frame_crop.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/video.hpp"

namespace stepvideo::io {
namespace {

/// What is left out before what is kept, in pixels.
int left_out(int whole, int kept) {
  return (whole - kept) / 2 / 2 * 2;
}

/// Takes the middle of one plane after the other.
class PlaneCropper {
 public:
  PlaneCropper(std::span<const std::uint8_t> from, std::uint8_t* to, FrameCrop crop, VideoShape video)
      : from_(from.data()), to_(to), crop_(crop), video_(video) {}

  /// The next plane: a sample of so many bytes for every `cell` x `cell` pixels.
  void plane(int bytes, int cell = 1) {
    const index_t row_bytes = index_t{(video_.width + cell - 1) / cell} * bytes;
    const index_t kept_bytes = index_t{crop_.width / cell} * bytes;
    const std::uint8_t* row = from_ + left_out(video_.height, crop_.height) / cell * row_bytes +
                              left_out(video_.width, crop_.width) / cell * bytes;
    for (int i = 0; i < crop_.height / cell; ++i, row += row_bytes) to_ = std::copy_n(row, kept_bytes, to_);
    from_ += (video_.height + cell - 1) / cell * row_bytes;
  }

  void operator()(const FloatPixels&) { plane(3 * sizeof(float)); }
  void operator()(const RgbPixels&) { plane(3); }
  template <int halving>
  void operator()(const YuvPixels<halving>&) {
    plane(1), plane(1, halving), plane(1, halving);
  }

 private:
  const std::uint8_t* from_;
  std::uint8_t* to_;
  FrameCrop crop_;
  VideoShape video_;
};

class CroppedWriter final : public VideoWriter {
 public:
  CroppedWriter(std::unique_ptr<VideoWriter> inner, const std::filesystem::path& path, FrameCrop crop,
                VideoShape video)
      : VideoWriter(path, video, inner->format()),
        inner_(std::move(inner)),
        crop_(crop),
        kept_(format(), 1, crop.height, crop.width) {}

 private:
  void write_frame(std::span<const std::uint8_t> pixels) override {
    std::visit(PlaneCropper(pixels, kept_.view().data, crop_, shape()), format());
    inner_->append(kept_.view());
  }
  void publish() override { inner_->finish(); }

  std::unique_ptr<VideoWriter> inner_;
  FrameCrop crop_;
  PixelBuffer kept_;
};

}  // namespace

FrameCrop parse_frame_crop(const std::string& flag, const std::string& text) {
  FrameCrop crop;
  const char* const end = text.data() + text.size();
  const auto width = std::from_chars(text.data(), end, crop.width);
  const bool has_cross =
      width.ec == std::errc{} && width.ptr != end && (*width.ptr == 'x' || *width.ptr == 'X');
  const auto height = has_cross ? std::from_chars(width.ptr + 1, end, crop.height)
                                : std::from_chars_result{nullptr, std::errc::invalid_argument};
  const auto works = [](int extent) {
    return extent > 0 && extent <= VideoShape::largest_extent && extent % 2 == 0;
  };
  require(height.ec == std::errc{} && height.ptr == end && works(crop.width) && works(crop.height), [&] {
    return fmt::format("{}: '{}' is no size to keep; even numbers, width x height, work, as in 960x540", flag,
                       text);
  });
  return crop;
}

std::string to_string(FrameCrop crop) {
  return fmt::format("{}x{}", crop.width, crop.height);
}

void require_crop_fits(const std::string& flag, FrameCrop crop, VideoShape video) {
  require(crop.width <= video.width && crop.height <= video.height, [&] {
    return fmt::format("{}: {} does not lie in a frame of {}x{} (width x height); at most that works", flag,
                       to_string(crop), video.width, video.height);
  });
}

std::unique_ptr<VideoWriter> crop_frames_for(std::unique_ptr<VideoWriter> inner,
                                             const std::filesystem::path& path, FrameCrop crop,
                                             VideoShape video) {
  return std::make_unique<CroppedWriter>(std::move(inner), path, crop, video);
}

}  // namespace stepvideo::io
