#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

extern "C" {
#include <libavutil/pixdesc.h>
}

#include "io/frame_filter.hpp"
#include "io/libav.hpp"
#include "io/manifest.hpp"
#include "io/pending_file.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

using libav::check;

/// Where a container has its manifest: as a tag in front of the frames or behind them, or none.
enum class Tag { front, end, none };

/// How libav calls what a kind of file is made of.
struct Format {
  const char* muxer;
  const char* encoder;
  bool is_yuv =
      true;  ///< BT.709 in limited range; else RGB, until the encoder or a filter makes its own of it
  Tag manifest = Tag::front;

  bool is_h264() const { return encoder == std::string_view("libx264"); }
};

Format format_of(VideoKind kind) {
  switch (kind) {
    case VideoKind::mov:
      return {.muxer = "mov", .encoder = "libx264", .manifest = Tag::end};
    case VideoKind::mkv:
      return {.muxer = "matroska", .encoder = "libx264"};
    case VideoKind::webm:
      return {.muxer = "webm", .encoder = "libvpx-vp9"};
    case VideoKind::gif:
      return {.muxer = "gif", .encoder = "gif", .is_yuv = false, .manifest = Tag::none};
    case VideoKind::webp:
      return {.muxer = "webp", .encoder = "libwebp_anim", .is_yuv = false, .manifest = Tag::none};
    case VideoKind::png_folder:
      return {.muxer = "image2", .encoder = "png", .is_yuv = false, .manifest = Tag::none};
    default:
      return {.muxer = "mp4", .encoder = "libx264", .manifest = Tag::end};
  }
}

/// Each frame of a GIF in the 256 colours that suit it best.
constexpr const char *palette_filter = "paletteuse",
                     *palette_chain =
                         "split[seen][frame];[seen]palettegen=stats_mode=single[colours];"
                         "[frame][colours]paletteuse=new=1";

struct CloseOutput {
  void operator()(AVFormatContext* context) const {
    if (context->pb != nullptr) avio_closep(&context->pb);
    avformat_free_context(context);
  }
};

/// One file with one stream of frames.
class StreamWriter final : public VideoWriter {
 public:
  StreamWriter(const std::filesystem::path& path, VideoShape shape, VideoOptions options)
      : VideoWriter(path, shape, RgbPixels{}),
        options_(std::move(options)),
        kind_(video_kind(path)),
        format_(format_of(kind_)),
        pixel_format_(!format_.is_yuv                                              ? AV_PIX_FMT_BGRA
                      : options_.chroma.value_or(Chroma::yuv420) == Chroma::yuv420 ? AV_PIX_FMT_YUV420P
                                                                                   : AV_PIX_FMT_YUV444P),
        file_(path) {
    open_encoder(options_.rate);
    open_container();
    frame_ = libav::allocate_frame(pixel_format_, shape.width, shape.height, path);
    frame_->color_range = codec_->color_range;
    frame_->colorspace = codec_->colorspace;
    open_filter();
    pixels_ = libav::allocate_frame(AV_PIX_FMT_RGB24, shape.width, shape.height, path);
    packet_.reset(check(av_packet_alloc(), path, "written"));
    scaler_.reset(check(sws_getContext(shape.width, shape.height, AV_PIX_FMT_RGB24, shape.width, shape.height,
                                       pixel_format_, libav::exact_scaling, nullptr, nullptr, nullptr),
                        path, "written"));
    if (!format_.is_yuv) return;
    const int* const matrix = sws_getCoefficients(SWS_CS_ITU709);
    constexpr int full_range = 1, limited_range = 0, unchanged = 1 << 16;
    check(sws_setColorspaceDetails(scaler_.get(), matrix, full_range, matrix, limited_range, 0, unchanged,
                                   unchanged),
          path, "written");
  }

 private:
  void open_encoder(FrameRate rate) {
    codec_.reset(
        check(avcodec_alloc_context3(avcodec_find_encoder_by_name(format_.encoder)), path(), "encoded"));
    codec_->width = shape().width;
    codec_->height = shape().height;
    codec_->pix_fmt = kind_ == VideoKind::gif ? AV_PIX_FMT_PAL8 : pixel_format_;
    codec_->time_base = {rate.denominator, rate.numerator};
    codec_->framerate = {rate.numerator, rate.denominator};
    if (format_.is_yuv) {
      codec_->color_range = AVCOL_RANGE_MPEG;
      codec_->colorspace = AVCOL_SPC_BT709;
      codec_->color_primaries = AVCOL_PRI_BT709;
      codec_->color_trc = AVCOL_TRC_BT709;
    }
    codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    // The encoders' bytes depend on their number of threads: one, on every machine.
    codec_->thread_count = 1;
    if (format_.is_h264()) {
      set_option("crf", "16");
      set_option("preset", "medium");
      // x264 0.164's AVX-512 code for macroblock trees lets stale memory into the bits; this leaves it out.
      set_option("x264-params", "cpu-independent=1");
    } else if (kind_ == VideoKind::webm) {
      codec_->bit_rate = 0;    // quality alone decides
      set_option("crf", "8");  // wide bars of colour come back within two levels; with 12 they do not
      set_option("deadline", "good");
      set_option("cpu-used", "4");
    } else if (kind_ == VideoKind::webp) {
      set_option("quality", "90");
    }
    check(avcodec_open2(codec_.get(), nullptr, nullptr), path(), "encoded");
  }

  void set_option(const char* name, const char* value) {
    check(av_opt_set(codec_->priv_data, name, value, 0), path(), "encoded");
  }

  void open_container() {
    AVFormatContext* context = nullptr;
    check(avformat_alloc_output_context2(&context, nullptr, format_.muxer, file_.temporary().c_str()), path(),
          "written");
    container_.reset(context);
    if (format_.manifest == Tag::front) {
      context->flags |= AVFMT_FLAG_BITEXACT;  // else Matroska and its kin draw a random identity
      put_manifest();
    }
    stream_ = check(avformat_new_stream(context, nullptr), path(), "written");
    stream_->time_base = codec_->time_base;
    stream_->avg_frame_rate = codec_->framerate;
    check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), path(), "written");
    check(avio_open(&context->pb, ("file:" + file_.temporary().string()).c_str(), AVIO_FLAG_WRITE), path(),
          "written");
    AVDictionary* options = nullptr;
    if (kind_ == VideoKind::mp4) av_dict_set(&options, "movflags", "+faststart", 0);
    // QuickTime's own comment ends at 64 KiB.
    if (kind_ == VideoKind::mov) av_dict_set(&options, "movflags", "+faststart+use_metadata_tags", 0);
    if (kind_ == VideoKind::webp || kind_ == VideoKind::gif) av_dict_set(&options, "loop", "0", 0);
    const int code = avformat_write_header(context, &options);
    av_dict_free(&options);
    check(code, path(), "written");
  }

  void write_frame(std::span<const std::uint8_t> pixels) override {
    libav::fill_rgb24(pixels, *pixels_);
    check(av_frame_make_writable(frame_.get()), path(), "encoded");
    check(sws_scale(scaler_.get(), pixels_->data, pixels_->linesize, 0, shape().height, frame_->data,
                    frame_->linesize),
          path(), "encoded");
    frame_->pts = frames_taken_++;
    if (filter_ == nullptr) return encode(frame_.get());
    filter_->push(frame_.get());
    encode_filtered();
  }

  void open_filter() {
    if (kind_ == VideoKind::gif)
      filter_ = open_frame_filter(path(), palette_chain, "pal8", *frame_, options_.rate);
    else if (options_.denoises && is_denoised_in(kind_))
      filter_ = open_frame_filter(path(), denoise_chain, av_get_pix_fmt_name(pixel_format_), *frame_,
                                  options_.rate);
    else
      return;
    filtered_.reset(check(av_frame_alloc(), path(), "filtered"));
  }
  void encode_filtered() {
    for (; filter_->pull(filtered_.get()); av_frame_unref(filtered_.get())) {
      filtered_->pts = frames_filtered_++;  // one for each that came, in their order
      encode(filtered_.get());
    }
  }
  void drain_filter() {
    if (filter_ == nullptr) return;
    filter_->push(nullptr);
    encode_filtered();
    if (frames_filtered_ != frames_taken_)
      throw Error(fmt::format("{} cannot be filtered: {} frames came of {}", path().string(),
                              frames_filtered_, frames_taken_));
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
    drain_filter();
    encode(nullptr);
    if (format_.manifest == Tag::end)
      put_manifest();  // the index, which holds the tags, is written at the end
    check(av_write_trailer(container_.get()), path(), "written");
    check(avio_closep(&container_->pb), path(), "written");
    if (format_.manifest == Tag::none) return publish_with_manifest_beside(file_, path(), options_.manifest);
    file_.publish();
  }

  void put_manifest() {
    if (options_.manifest)
      check(av_dict_set(&container_->metadata, "comment", options_.manifest().c_str(), 0), path(), "written");
  }

  VideoOptions options_;
  VideoKind kind_;
  Format format_;
  AVPixelFormat pixel_format_;
  PendingFile file_;
  libav::Codec codec_;
  std::unique_ptr<AVFormatContext, CloseOutput> container_;
  AVStream* stream_ = nullptr;  // the container's
  libav::Frame frame_, pixels_, filtered_;
  std::unique_ptr<FrameFilter> filter_;
  libav::Packet packet_;
  libav::Scaler scaler_;
  std::int64_t frames_taken_ = 0, frames_filtered_ = 0;
};

}  // namespace

void detail::require_encoder(const std::string& flag, VideoKind kind) {
  const Format format = format_of(kind);
  require(avcodec_find_encoder_by_name(format.encoder) != nullptr, [&] {
    return fmt::format("{}: the installed libavcodec has no {} encoder; a .safetensors output works", flag,
                       format.encoder);
  });
  if (kind == VideoKind::gif) require_frame_filter(flag + ": a .gif", palette_filter);
}

std::unique_ptr<VideoWriter> detail::open_stream_writer(const std::filesystem::path& path, VideoShape shape,
                                                        VideoOptions options) {
  av_log_set_level(AV_LOG_FATAL);  // what goes wrong is thrown
  require_encoder(path.string(), video_kind(path));
  return std::make_unique<StreamWriter>(path, shape, std::move(options));
}

}  // namespace stepvideo::io
