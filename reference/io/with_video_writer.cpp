#include <algorithm>
#include <cmath>
#include <utility>

#include "io/libav.hpp"
#include "io/pending_file.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

using libav::check;

constexpr const char* encoder_name = "libx264";

struct CloseOutput {
  void operator()(AVFormatContext* context) const {
    if (context->pb != nullptr) avio_closep(&context->pb);
    avformat_free_context(context);
  }
};

class Mp4Writer final : public VideoWriter {
 public:
  Mp4Writer(const std::filesystem::path& path, VideoShape shape, VideoOptions options)
      : VideoWriter(path, shape), options_(std::move(options)), file_(path) {
    open_encoder();
    open_container();
    frame_.reset(allocate_frame(AV_PIX_FMT_YUV420P));
    pixels_.reset(allocate_frame(AV_PIX_FMT_RGB24));
    packet_.reset(check(av_packet_alloc(), path, "written"));
    scaler_.reset(check(sws_getContext(shape.width, shape.height, AV_PIX_FMT_RGB24, shape.width, shape.height,
                                       AV_PIX_FMT_YUV420P, libav::exact_scaling, nullptr, nullptr, nullptr),
                        path, "written"));
    const int* const matrix = sws_getCoefficients(SWS_CS_ITU709);
    constexpr int full_range = 1, limited_range = 0, unchanged = 1 << 16;
    check(sws_setColorspaceDetails(scaler_.get(), matrix, full_range, matrix, limited_range, 0, unchanged,
                                   unchanged),
          path, "written");
  }

 private:
  void open_encoder() {
    codec_.reset(
        check(avcodec_alloc_context3(avcodec_find_encoder_by_name(encoder_name)), path(), "encoded"));
    codec_->width = shape().width;
    codec_->height = shape().height;
    codec_->pix_fmt = AV_PIX_FMT_YUV420P;
    codec_->time_base = {1, frames_per_second};
    codec_->framerate = {frames_per_second, 1};
    codec_->color_range = AVCOL_RANGE_MPEG;
    codec_->colorspace = AVCOL_SPC_BT709;
    codec_->color_primaries = AVCOL_PRI_BT709;
    codec_->color_trc = AVCOL_TRC_BT709;
    codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    // x264's bytes depend on its number of threads: one, on every machine.
    codec_->thread_count = 1;
    check(av_opt_set(codec_->priv_data, "crf", "16", 0), path(), "encoded");
    check(av_opt_set(codec_->priv_data, "preset", "medium", 0), path(), "encoded");
    // x264 0.164's AVX-512 code for macroblock trees lets stale memory into the bits; this leaves it out.
    check(av_opt_set(codec_->priv_data, "x264-params", "cpu-independent=1", 0), path(), "encoded");
    check(avcodec_open2(codec_.get(), nullptr, nullptr), path(), "encoded");
  }

  void open_container() {
    AVFormatContext* context = nullptr;
    check(avformat_alloc_output_context2(&context, nullptr, "mp4", file_.temporary().c_str()), path(),
          "written");
    container_.reset(context);
    stream_ = check(avformat_new_stream(context, nullptr), path(), "written");
    stream_->time_base = codec_->time_base;
    stream_->avg_frame_rate = codec_->framerate;
    check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), path(), "written");
    check(avio_open(&context->pb, file_.temporary().c_str(), AVIO_FLAG_WRITE), path(), "written");
    AVDictionary* options = nullptr;
    av_dict_set(&options, "movflags", "+faststart", 0);
    const int code = avformat_write_header(context, &options);
    av_dict_free(&options);
    check(code, path(), "written");
  }

  AVFrame* allocate_frame(AVPixelFormat format) const {
    libav::Frame frame(check(av_frame_alloc(), path(), "written"));
    frame->format = format;
    frame->width = shape().width;
    frame->height = shape().height;
    check(av_frame_get_buffer(frame.get(), 0), path(), "written");
    return frame.release();
  }

  void write_frame(const float* pixels) override {
    const int row_values = shape().width * 3;
    for (int row = 0; row < shape().height; ++row) {
      std::uint8_t* const bytes = pixels_->data[0] + row * pixels_->linesize[0];
      for (int i = 0; i < row_values; ++i)
        bytes[i] =
            static_cast<std::uint8_t>(std::lround((std::clamp(*pixels++, -1.0f, 1.0f) + 1.0f) * 127.5f));
    }
    check(av_frame_make_writable(frame_.get()), path(), "encoded");
    check(sws_scale(scaler_.get(), pixels_->data, pixels_->linesize, 0, shape().height, frame_->data,
                    frame_->linesize),
          path(), "encoded");
    frame_->pts = next_frame_++;
    encode(frame_.get());
  }

  /// Hands a frame (or, with nullptr, the end) to the encoder and writes the packets that are ready.
  void encode(const AVFrame* frame) {
    check(avcodec_send_frame(codec_.get(), frame), path(), "encoded");
    for (int code = 0; (code = avcodec_receive_packet(codec_.get(), packet_.get())) != AVERROR(EAGAIN);) {
      if (code == AVERROR_EOF) return;
      check(code, path(), "encoded");
      packet_->duration = 1;
      av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
      packet_->stream_index = stream_->index;
      check(av_interleaved_write_frame(container_.get(), packet_.get()), path(), "written");
    }
  }

  void publish() override {
    encode(nullptr);
    // The index, which holds the tags, is written with the trailer.
    if (options_.manifest)
      check(av_dict_set(&container_->metadata, "comment", options_.manifest().c_str(), 0), path(), "written");
    check(av_write_trailer(container_.get()), path(), "written");
    check(avio_closep(&container_->pb), path(), "written");
    file_.publish();
  }

  VideoOptions options_;
  PendingFile file_;
  libav::Codec codec_;
  std::unique_ptr<AVFormatContext, CloseOutput> container_;
  AVStream* stream_ = nullptr;  // the container's
  libav::Frame frame_, pixels_;
  libav::Packet packet_;
  libav::Scaler scaler_;
  std::int64_t next_frame_ = 0;
};

}  // namespace

void detail::require_mp4_encoder(const std::string& flag) {
  require(avcodec_find_encoder_by_name(encoder_name) != nullptr, [&] {
    return fmt::format("{}: the installed libavcodec has no {} encoder; a .safetensors output works", flag,
                       encoder_name);
  });
}

std::unique_ptr<VideoWriter> detail::open_mp4_writer(const std::filesystem::path& path, VideoShape shape,
                                                     VideoOptions options) {
  av_log_set_level(AV_LOG_FATAL);  // what goes wrong is thrown
  require_mp4_encoder(path.string());
  return std::make_unique<Mp4Writer>(path, shape, std::move(options));
}

}  // namespace stepvideo::io
