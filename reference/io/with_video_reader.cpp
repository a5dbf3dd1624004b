#include <vector>

#include "io/libav.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

using libav::check;

/// The matrix that the frame's tag names; without a tag, what players assume for its height.
const int* matrix_of(const AVFrame& frame) {
  switch (frame.colorspace) {
    case AVCOL_SPC_BT709:
      return sws_getCoefficients(SWS_CS_ITU709);
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
      return sws_getCoefficients(SWS_CS_ITU601);
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
      return sws_getCoefficients(SWS_CS_BT2020);
    default:
      return sws_getCoefficients(frame.height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601);
  }
}

libav::Input open_input(const std::filesystem::path& path) {
  AVFormatContext* context = nullptr;
  const int code = avformat_open_input(&context, path.c_str(), nullptr, nullptr);
  require(code >= 0, [&] {
    return fmt::format("{} cannot be read as a video: {}; an .mp4 or .safetensors file works", path.string(),
                       libav::reason(code));
  });
  return libav::Input(context);
}

class Decoder {
 public:
  explicit Decoder(const std::filesystem::path& path) : path_(path), input_(open_input(path)) {
    AVFormatContext* const context = input_.get();
    const AVCodec* decoder = nullptr;
    stream_ = avformat_find_stream_info(context, nullptr) < 0
                  ? AVERROR_STREAM_NOT_FOUND
                  : av_find_best_stream(context, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    require(stream_ >= 0 && decoder != nullptr, [&] {
      return path.string() + " holds no video that can be decoded; an .mp4 or .safetensors file works";
    });
    codec_.reset(check(avcodec_alloc_context3(decoder), path, "decoded"));
    check(avcodec_parameters_to_context(codec_.get(), context->streams[stream_]->codecpar), path, "decoded");
    check(avcodec_open2(codec_.get(), decoder, nullptr), path, "decoded");
    packet_.reset(check(av_packet_alloc(), path, "decoded"));
    frame_.reset(check(av_frame_alloc(), path, "decoded"));
  }

  Video run() {
    for (int code = 0; (code = av_read_frame(input_.get(), packet_.get())) != AVERROR_EOF;) {
      check(code, path_, "decoded");
      if (packet_->stream_index == stream_) decode(packet_.get());
      av_packet_unref(packet_.get());
    }
    decode(nullptr);
    require(shape_.frames > 0,
            [&] { return path_.string() + " holds no frames; a video with frames works"; });
    Video video{shape_, Buffer<float>(static_cast<index_t>(bytes_.size()))};
    for (index_t i = 0; i < video.pixels.size(); ++i)
      video.pixels[i] = static_cast<float>(bytes_[static_cast<std::size_t>(i)]) / 127.5f - 1.0f;
    return video;
  }

 private:
  void decode(const AVPacket* packet) {
    check(avcodec_send_packet(codec_.get(), packet), path_, "decoded");
    for (int code = 0; (code = avcodec_receive_frame(codec_.get(), frame_.get())) != AVERROR(EAGAIN);) {
      if (code == AVERROR_EOF) return;
      check(code, path_, "decoded");
      append_frame();
    }
  }

  void append_frame() {
    if (shape_.frames == 0) shape_ = {0, frame_->height, frame_->width};
    require(frame_->height == shape_.height && frame_->width == shape_.width, [&] {
      return fmt::format("{}: frame {} is {}x{} after frames of {}x{}; one size works", path_.string(),
                         shape_.frames, frame_->height, frame_->width, shape_.height, shape_.width);
    });
    const auto format = static_cast<AVPixelFormat>(frame_->format);
    scaler_.reset(sws_getCachedContext(scaler_.release(), shape_.width, shape_.height, format, shape_.width,
                                       shape_.height, AV_PIX_FMT_RGB24, libav::exact_scaling, nullptr,
                                       nullptr, nullptr));
    check(scaler_.get(), path_, "converted to RGB");
    const int* const matrix = matrix_of(*frame_);
    constexpr int full_range = 1, unchanged = 1 << 16;
    // Fails for sources that are RGB already, which need no matrix.
    sws_setColorspaceDetails(scaler_.get(), matrix, frame_->color_range == AVCOL_RANGE_JPEG, matrix,
                             full_range, 0, unchanged, unchanged);
    // Into a frame of libav's own: its vector code may write past the last pixel of a row.
    libav::Frame rgb(check(av_frame_alloc(), path_, "decoded"));
    rgb->format = AV_PIX_FMT_RGB24;
    rgb->width = shape_.width;
    rgb->height = shape_.height;
    check(av_frame_get_buffer(rgb.get(), 0), path_, "decoded");
    check(
        sws_scale(scaler_.get(), frame_->data, frame_->linesize, 0, shape_.height, rgb->data, rgb->linesize),
        path_, "converted to RGB");
    for (int row = 0; row < shape_.height; ++row) {
      const std::uint8_t* const pixels = rgb->data[0] + static_cast<std::ptrdiff_t>(row) * rgb->linesize[0];
      bytes_.insert(bytes_.end(), pixels, pixels + static_cast<std::ptrdiff_t>(shape_.width) * 3);
    }
    ++shape_.frames;
  }

  std::filesystem::path path_;
  libav::Input input_;
  int stream_ = -1;
  libav::Codec codec_;
  libav::Packet packet_;
  libav::Frame frame_;
  libav::Scaler scaler_;
  VideoShape shape_{0, 0, 0};
  std::vector<std::uint8_t> bytes_;  // RGB, 8 bits
};

}  // namespace

Video detail::decode_video(const std::filesystem::path& path) {
  av_log_set_level(AV_LOG_FATAL);  // what goes wrong is thrown
  return Decoder(path).run();
}

std::optional<std::string> detail::read_container_comment(const std::filesystem::path& path) {
  av_log_set_level(AV_LOG_FATAL);
  const auto input = open_input(path);
  const AVDictionaryEntry* const tag = av_dict_get(input->metadata, "comment", nullptr, 0);
  return tag == nullptr ? std::nullopt : std::optional<std::string>(tag->value);
}

}  // namespace stepvideo::io
