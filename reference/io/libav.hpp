// Owners for libav's objects, and its errors as ours. Included by the with_video_ sources only.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

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
using Input = std::unique_ptr<AVFormatContext, Release<avformat_close_input>>;
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

/// Rounds as C does on every machine, and takes every chroma sample into account.
inline constexpr int exact_scaling =
    SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;

}  // namespace stepvideo::io::libav
