// Frames on their way to an encoder, through filters of libavfilter, which is loaded when they are needed.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "io/frame_rate.hpp"

struct AVFrame;

namespace stepvideo::io {

/// The release's filter, adaptive averages over time, and its thresholds.
inline constexpr const char* denoise_filter = "atadenoise";
inline constexpr const char* denoise_chain = "atadenoise=0a=0.1:0b=0.1:1a=0.1:1b=0.1";

class FrameFilter {
 public:
  virtual ~FrameFilter() = default;
  /// Takes a copy of a frame, or with nullptr the end. Throws Error naming the output.
  virtual void push(const AVFrame* frame) = 0;
  /// The next frame that is ready, into `frame`, which holds nothing. False where none is.
  virtual bool pull(AVFrame* frame) = 0;
};

/// A chain of filters, as ffmpeg's -vf takes it, for frames like `first` at this rate; `pixel_format` is what
/// comes out, by libav's name. Works on one thread. Throws Error naming the output.
std::unique_ptr<FrameFilter> open_frame_filter(const std::filesystem::path& output, const std::string& chain,
                                               const std::string& pixel_format, const AVFrame& first,
                                               FrameRate rate);

/// Throws RequestError that begins with `what` and says what would help, where this build or this machine has
/// no libavfilter, or not the filter of that name.
void require_frame_filter(const std::string& what, const std::string& filter);

}  // namespace stepvideo::io
