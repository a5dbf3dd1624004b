#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

extern "C" {
#include <libavutil/pixdesc.h>
}

#include "io/libav.hpp"

namespace stepvideo::io::libav {
namespace {

/// The matrix that the frame's tag names, for swscale.
int matrix_of(const AVFrame& frame, const std::filesystem::path& path) {
  switch (frame.colorspace) {
    case AVCOL_SPC_RGB:  // needs none
    case AVCOL_SPC_BT709:
      return SWS_CS_ITU709;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
      return SWS_CS_ITU601;
    case AVCOL_SPC_FCC:
      return SWS_CS_FCC;
    case AVCOL_SPC_SMPTE240M:
      return SWS_CS_SMPTE240M;
    case AVCOL_SPC_BT2020_NCL:
      return SWS_CS_BT2020;
    case AVCOL_SPC_UNSPECIFIED:
    case AVCOL_SPC_RESERVED:
      return untagged_matrix(frame.height);
    default:
      throw RequestError(fmt::format("{} has the colour matrix {}; BT.601, BT.709, BT.2020 and RGB work",
                                     path.string(), av_color_space_name(frame.colorspace)));
  }
}

bool is_full_range(const AVFrame& frame, const AVPixFmtDescriptor& format) {
  if (frame.color_range != AVCOL_RANGE_UNSPECIFIED) return frame.color_range == AVCOL_RANGE_JPEG;
  const bool is_grey = format.nb_components <= 2;
  return is_grey || std::string_view(format.name).starts_with("yuvj");
}

/// What no matrix can undo: another brightness curve, colours beyond what RGB of BT.709 can say.
void require_standard_range(const AVFrame& frame, const std::filesystem::path& path) {
  const bool is_hdr = frame.color_trc == AVCOL_TRC_SMPTE2084 || frame.color_trc == AVCOL_TRC_ARIB_STD_B67;
  const bool is_wide = frame.color_primaries == AVCOL_PRI_BT2020;
  require(!is_hdr && !is_wide, [&] {
    return fmt::format(
        "{} is {} video ({}); a copy in BT.709 works, which ffmpeg's filters zscale and tonemap make",
        path.string(), is_hdr ? "HDR" : "wide-gamut",
        is_hdr ? av_color_transfer_name(frame.color_trc) : av_color_primaries_name(frame.color_primaries));
  });
}

/// Where a pixel belongs when the frame is shown: a signed permutation of (x, y).
struct Turn {
  int from_x_to_x = 1, from_y_to_x = 0, from_x_to_y = 0, from_y_to_y = 1;

  bool swaps() const { return from_x_to_x == 0; }
  int x(int column, int row, int width, int height) const {
    return swaps() ? along(from_y_to_x, row, height) : along(from_x_to_x, column, width);
  }
  int y(int column, int row, int width, int height) const {
    return swaps() ? along(from_x_to_y, column, width) : along(from_y_to_y, row, height);
  }

 private:
  static int along(int sign, int position, int extent) { return sign > 0 ? position : extent - 1 - position; }
};

/// `matrix`: of av_display_rotation_get().
Turn turn_of(const std::array<std::int32_t, 9>& matrix, const std::filesystem::path& path) {
  const auto entry = [&](int i) { return static_cast<int>(std::lround(matrix[i] / 65536.0)); };
  const Turn turn{entry(0), entry(3), entry(1), entry(4)};
  const bool is_exact = std::ranges::all_of(std::initializer_list<int>{0, 1, 3, 4}, [&](int i) {
    return std::abs(std::int64_t{entry(i)} * 65536 - matrix[i]) < 656;
  });
  const bool is_upright =
      std::abs(turn.from_x_to_x * turn.from_y_to_y) == 1 && turn.from_x_to_y == 0 && turn.from_y_to_x == 0;
  const bool is_sideways =
      std::abs(turn.from_x_to_y * turn.from_y_to_x) == 1 && turn.from_x_to_x == 0 && turn.from_y_to_y == 0;
  require(is_exact && (is_upright || is_sideways), [&] {
    return path.string() +
           " is to be shown turned or scaled by other than quarter turns and mirrors; "
           "ffmpeg writes an upright copy";
  });
  return turn;
}

template <class Sample>
void copy_upright(const AVFrame& rgb, const Turn& turn, float half_range, RgbConverter::Picture& picture) {
  for (int row = 0; row < rgb.height; ++row) {
    const auto* samples =
        reinterpret_cast<const Sample*>(rgb.data[0] + static_cast<std::ptrdiff_t>(row) * rgb.linesize[0]);
    for (int column = 0; column < rgb.width; ++column, samples += 3) {
      const index_t place = index_t{turn.y(column, row, rgb.width, rgb.height)} * picture.width +
                            turn.x(column, row, rgb.width, rgb.height);
      for (int channel = 0; channel < 3; ++channel)
        picture.pixels[place * 3 + channel] = static_cast<float>(samples[channel]) / half_range - 1.0f;
    }
  }
}

}  // namespace

RgbConverter::Picture RgbConverter::convert(const AVFrame& frame) {
  const auto format = static_cast<AVPixelFormat>(frame.format);
  const AVPixFmtDescriptor& description = *check(av_pix_fmt_desc_get(format), path_, "converted to RGB");
  require_standard_range(frame, path_);
  const bool is_deep = description.comp[0].depth > 8;
  const AVPixelFormat target = is_deep ? AV_PIX_FMT_RGB48 : AV_PIX_FMT_RGB24;
  scaler_.reset(sws_getCachedContext(scaler_.release(), frame.width, frame.height, format, frame.width,
                                     frame.height, target, exact_scaling, nullptr, nullptr, nullptr));
  check(scaler_.get(), path_, "converted to RGB");
  const int* const matrix = sws_getCoefficients(matrix_of(frame, path_));
  constexpr int full_range = 1, unchanged = 1 << 16;
  // Fails for sources that are RGB already, which need no matrix.
  sws_setColorspaceDetails(scaler_.get(), matrix, is_full_range(frame, description), matrix, full_range, 0,
                           unchanged, unchanged);
  // Into a frame of libav's own: its vector code may write past the last pixel of a row.
  const Frame rgb = allocate_frame(target, frame.width, frame.height, path_);
  check(sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, rgb->data, rgb->linesize),
        path_, "converted to RGB");

  // It may come with the first frame alone.
  const AVFrameSideData* const data = av_frame_get_side_data(&frame, AV_FRAME_DATA_DISPLAYMATRIX);
  if (data != nullptr && data->size >= sizeof display_matrix_)
    std::memcpy(display_matrix_.data(), data->data, sizeof display_matrix_);
  const Turn turn = turn_of(display_matrix_, path_);
  Picture picture{turn.swaps() ? frame.width : frame.height, turn.swaps() ? frame.height : frame.width,
                  Buffer<float>(index_t{3} * frame.width * frame.height)};
  if (is_deep)
    copy_upright<std::uint16_t>(*rgb, turn, 32767.5f, picture);
  else
    copy_upright<std::uint8_t>(*rgb, turn, 127.5f, picture);
  return picture;
}

void fill_rgb24(std::span<const std::uint8_t> pixels, AVFrame& frame) {
  const auto row_bytes = static_cast<std::size_t>(frame.width) * 3;
  for (int row = 0; row < frame.height; ++row)
    std::memcpy(frame.data[0] + static_cast<std::ptrdiff_t>(row) * frame.linesize[0],
                pixels.data() + static_cast<std::size_t>(row) * row_bytes, row_bytes);
}

}  // namespace stepvideo::io::libav
