#include <utility>

#include "io/libav.hpp"
#include "io/pending_file.hpp"
#include "io/pending_folder.hpp"
#include "io/png.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

using libav::check;

/// One frame of RgbPixels.
void write_rgb(const std::filesystem::path& path, std::span<const std::uint8_t> pixels, int height,
               int width) {
  const libav::Codec codec(
      check(avcodec_alloc_context3(avcodec_find_encoder(AV_CODEC_ID_PNG)), path, "encoded"));
  codec->width = width;
  codec->height = height;
  codec->pix_fmt = AV_PIX_FMT_RGB24;
  codec->time_base = {1, 1};
  codec->thread_count = 1;
  check(avcodec_open2(codec.get(), nullptr, nullptr), path, "encoded");
  const libav::Frame picture = libav::allocate_frame(AV_PIX_FMT_RGB24, width, height, path);
  libav::fill_rgb24(pixels, *picture);
  const libav::Packet packet(check(av_packet_alloc(), path, "encoded"));
  check(avcodec_send_frame(codec.get(), picture.get()), path, "encoded");
  check(avcodec_receive_packet(codec.get(), packet.get()), path, "encoded");

  write_file(path, {reinterpret_cast<const char*>(packet->data), static_cast<std::size_t>(packet->size)});
}

class PngFolderWriter final : public VideoWriter {
 public:
  PngFolderWriter(const std::filesystem::path& path, VideoShape shape, VideoOptions options)
      : VideoWriter(path, shape, RgbPixels{}),
        options_(std::move(options)),
        folder_(path, is_of_png_folder) {}

 private:
  void write_frame(std::span<const std::uint8_t> pixels) override {
    write_rgb(folder_.temporary() / png_frame_name(frame_++), pixels, shape().height, shape().width);
  }
  void publish() override {
    if (options_.manifest) write_file(folder_.temporary() / png_folder_manifest, options_.manifest() + '\n');
    folder_.publish();
  }

  VideoOptions options_;
  PendingFolder folder_;
  int frame_ = 0;
};

}  // namespace

void write_png(const std::filesystem::path& path, VideoView<const float> frame) {
  detail::require_encoder(path.string(), VideoKind::png_folder);
  const PixelBuffer pixels(RgbPixels{}, 1, frame.height, frame.width);
  write_pixels(host, frame, RgbPixels{}, pixels.view());
  write_rgb(path, {pixels.view().data, static_cast<std::size_t>(pixels.view().size())},
            static_cast<int>(frame.height), static_cast<int>(frame.width));
}

std::unique_ptr<VideoWriter> detail::open_png_folder_writer(const std::filesystem::path& path,
                                                            VideoShape shape, VideoOptions options) {
  require_encoder(path.string(), VideoKind::png_folder);
  return std::make_unique<PngFolderWriter>(path, shape, std::move(options));
}

}  // namespace stepvideo::io
