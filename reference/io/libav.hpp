// Owners for libav's objects, and its errors as ours. Included by the with_video_ sources only.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include <fmt/format.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/error.hpp>

namespace stepvideo::io::libav {

/// Frees through libav's functions, which take the address of the pointer.
template <auto release>
struct Release {
  template <class T>
  void operator()(T* object) const {
    release(&object);
  }
};
using Codec = std::unique_ptr<AVCodecContext, Release<avcodec_free_context>>;
using Frame = std::unique_ptr<AVFrame, Release<av_frame_free>>;
using Packet = std::unique_ptr<AVPacket, Release<av_packet_free>>;
/// A format and the file that it reads.
struct CloseInput {
  void operator()(AVFormatContext* context) const {
    AVIOContext* file = context->pb;
    avformat_close_input(&context);
    avio_closep(&file);
  }
};
using Input = std::unique_ptr<AVFormatContext, CloseInput>;
struct FreeScaler {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
using Scaler = std::unique_ptr<SwsContext, FreeScaler>;

inline std::string reason(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

/// Throws Error naming the file unless `code` is one of libav's successes; returns it.
inline int check(int code, const std::filesystem::path& path, std::string_view what) {
  if (code < 0) throw Error(fmt::format("{} cannot be {}: {}", path.string(), what, reason(code)));
  return code;
}

/// The same for what libav allocates.
template <class T>
T* check(T* object, const std::filesystem::path& path, std::string_view what) {
  if (object == nullptr) throw Error(fmt::format("{} cannot be {}: out of memory", path.string(), what));
  return object;
}

inline constexpr const char* what_can_be_read =
    "an .mp4, .webm, .y4m or .safetensors file, a picture or a folder of PNG files works";

/// Opens a file by its own name and no other, once: not an address, not what a playlist in it points to; a
/// pipe works. What it holds is told from its content, its name is asked where that does not tell. `format`
/// is libav's name of the only format that is accepted; nullptr: any. Throws RequestError naming the file.
Input open_input(const std::filesystem::path& path, const char* format = nullptr);

/// Whether a Matroska or WebM file is as long as it says itself. False where it does not say.
bool matroska_is_whole(const std::filesystem::path& path);
/// Whether all strips or tiles of a TIFF's first picture lie in the file. True of a pipe.
bool tiff_is_whole(const std::filesystem::path& path);

/// A frame with room for its pixels.
inline Frame allocate_frame(AVPixelFormat format, int width, int height, const std::filesystem::path& path) {
  Frame frame(check(av_frame_alloc(), path, "held in memory"));
  frame->format = format;
  frame->width = width;
  frame->height = height;
  check(av_frame_get_buffer(frame.get(), 0), path, "held in memory");
  return frame;
}

/// RgbPixels into a frame of AV_PIX_FMT_RGB24.
void fill_rgb24(std::span<const std::uint8_t> pixels, AVFrame& frame);

/// Frames of any pixel format become RGB in [-1, 1], upright: by their tags, or what players assume where
/// there are none.
class RgbConverter {
 public:
  explicit RgbConverter(std::filesystem::path path) : path_(std::move(path)) {}

  struct Picture {
    int height = 0, width = 0;
    Buffer<float> pixels;  ///< (height, width, 3)
  };
  /// Throws RequestError naming the file: HDR, a matrix that is not known, a rotation by no quarter turn.
  Picture convert(const AVFrame& frame);

 private:
  const std::filesystem::path path_;
  Scaler scaler_;
  std::array<std::int32_t, 9> display_matrix_{1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30};  // upright
};

/// The matrix that players assume for a height when no tag tells.
inline int untagged_matrix(int height) {
  return height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601;
}

/// Rounds as C does on every machine, and takes every chroma sample into account.
inline constexpr int exact_scaling =
    SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;

}  // namespace stepvideo::io::libav
