#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

extern "C" {
#include <libavutil/avstring.h>
}

#include "io/extension.hpp"
#include "io/frame_collector.hpp"
#include "io/libav.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;
using libav::check;

constexpr const char* what_works = "an .mp4, .webm, .y4m or .safetensors file or a folder of PNG files works";

/// The formats that keep to the one file that they are given. Others open files by themselves: playlists and
/// patterns of names, and what names a device.
std::string formats_of_one_file() {
  std::string names;
  void* place = nullptr;
  while (const AVInputFormat* const format = av_demuxer_iterate(&place)) {
    if ((format->flags & AVFMT_NOFILE) != 0 ||
        av_match_list(format->name, "concat,hls,applehttp,dash,imf,sdp,vobsub", ',') != 0)
      continue;
    if (!names.empty()) names += ',';
    names += format->name;
  }
  return names;
}

int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

/// The file itself; what is in it opens nothing more.
int open_once(AVFormatContext* context, AVIOContext** stream, const char* url, int flags,
              AVDictionary** options) {
  context->io_open = refuse_to_open;
  return avio_open2(stream, url, flags, &context->interrupt_callback, options);
}

/// Opens a file by its own name and no other: not an address, not what a playlist in it points to. `format`
/// is libav's name of the only format that is accepted; nullptr: any.
libav::Input open_input(const fs::path& path, const char* format = nullptr) {
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  av_dict_set(&options, "format_whitelist", formats_of_one_file().c_str(), 0);
  AVFormatContext* context = check(avformat_alloc_context(), path, "opened");
  context->io_open = open_once;
  const int code = avformat_open_input(&context, ("file:" + path.string()).c_str(),
                                       format != nullptr ? av_find_input_format(format) : nullptr, &options);
  av_dict_free(&options);
  require(code >= 0, [&] {
    return fmt::format("{} cannot be read as a video: {}; {}", path.string(), libav::reason(code),
                       what_works);
  });
  return libav::Input(context);
}

/// One file, decoded frame by frame.
class Decoder {
 public:
  explicit Decoder(const fs::path& path, const char* format = nullptr)
      : path_(path), input_(open_input(path, format)) {
    AVFormatContext* const context = input_.get();
#if LIBAVFORMAT_VERSION_INT < AV_VERSION_INT(60, 15, 100)
    av_format_inject_global_side_data(
        context);  // how the frames are to be turned; later versions do it anyway
#endif
    const AVCodec* decoder = nullptr;
    stream_ = avformat_find_stream_info(context, nullptr) < 0
                  ? AVERROR_STREAM_NOT_FOUND
                  : av_find_best_stream(context, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    require(
        stream_ >= 0 && decoder != nullptr && (stream().disposition & AV_DISPOSITION_ATTACHED_PIC) == 0,
        [&] { return fmt::format("{} holds no video that can be decoded; {}", path.string(), what_works); });
    codec_.reset(check(avcodec_alloc_context3(decoder), path, "decoded"));
    check(avcodec_parameters_to_context(codec_.get(), stream().codecpar), path, "decoded");
    codec_->err_recognition |= AV_EF_EXPLODE;
    codec_->pkt_timebase = stream().time_base;
    require(avcodec_open2(codec_.get(), decoder, nullptr) >= 0,
            [&] { return fmt::format("{} cannot be decoded; {}", path.string(), what_works); });
    packet_.reset(check(av_packet_alloc(), path, "decoded"));
    frame_.reset(check(av_frame_alloc(), path, "decoded"));
  }

  const AVStream& stream() const {
    return *input_->streams[stream_];
  }
  double tick() const {
    return av_q2d(stream().time_base);
  }

  /// What the file says of itself; a still image has no rate.
  std::optional<FrameRate> rate() const {
    const std::string_view format = input_->iformat->name;
    if (format.ends_with("_pipe") || format == "image2") return {};
    for (const AVRational& rate : {stream().avg_frame_rate, stream().r_frame_rate})
      if (rate.num > 0 && rate.den > 0) return FrameRate{rate.num, rate.den};
    return FrameRate{};
  }

  /// Hands every frame to `take(frame, seconds)`. Throws RequestError where the file is cut short or damaged.
  template <class Take>
  void run(Take&& take) {
    int code = 0;
    while ((code = av_read_frame(input_.get(), packet_.get())) >= 0) {
      if (packet_->stream_index == stream_) {
        require((packet_->flags & AV_PKT_FLAG_CORRUPT) == 0, [&] { return cut_sentence(); });
        ++packets_;
        end_ = avio_tell(input_->pb);
        decode(packet_.get(), take);
      }
      av_packet_unref(packet_.get());
    }
    decode(nullptr, take);
    require(code == AVERROR_EOF && !is_cut(), [&] { return cut_sentence(); });
  }

 private:
  /// Whether the index lists more than there was, or half a frame stands at the end.
  bool is_cut() const {
    if (input_->pb != nullptr && input_->pb->error < 0) return true;
    if (packets_ < avformat_index_get_entries_count(&stream())) return true;
    const std::string_view format = input_->iformat->name;
    if (format == "yuv4mpegpipe") return packets_ > 0 && avio_size(input_->pb) > end_;
    // The muxer of webm writes the length of the whole; other streams may be longer than the video.
    if (format.starts_with("matroska") && input_->nb_streams == 1 && input_->duration > 0 && frames_ > 1) {
      const double usual = (latest_ - first_) / (frames_ - 1);
      return latest_ + std::max(1.5 * usual, 1.05 * longest_gap_) <
             static_cast<double>(input_->duration) / AV_TIME_BASE;
    }
    return false;
  }

  std::string cut_sentence() const {
    return fmt::format("{} is cut short after {} frames; a whole file works", path_.string(), packets_);
  }

  template <class Take>
  void decode(const AVPacket* packet, Take& take) {
    const int sent = avcodec_send_packet(codec_.get(), packet);
    require_decoded(sent == AVERROR_EOF ? 0 : sent);
    for (int code = 0; (code = avcodec_receive_frame(codec_.get(), frame_.get())) != AVERROR(EAGAIN);) {
      if (code == AVERROR_EOF) return;
      require_decoded(frame_->decode_error_flags != 0 ? AVERROR_INVALIDDATA : code);
      take(*frame_, time_of_frame());
      ++frames_;
    }
  }

  void require_decoded(int code) const {
    require(code >= 0, [&] {
      return fmt::format("{} cannot be decoded at frame {}: {}; {}", path_.string(), frames_,
                         libav::reason(code), "a file that is whole works");
    });
  }

  double time_of_frame() {
    const std::int64_t stamp = frame_->best_effort_timestamp;
    const double time = stamp == AV_NOPTS_VALUE
                            ? static_cast<double>(frames_) / rate().value_or(FrameRate{}).value()
                            : static_cast<double>(stamp) * tick();
    if (frames_ == 0) first_ = latest_ = time;
    longest_gap_ = std::max(longest_gap_, time - latest_);
    return latest_ = time;
  }

  fs::path path_;
  libav::Input input_;
  int stream_ = -1, packets_ = 0, frames_ = 0;
  std::int64_t end_ = 0;
  double first_ = 0, latest_ = 0, longest_gap_ = 0;
  libav::Codec codec_;
  libav::Packet packet_;
  libav::Frame frame_;
};

/// A PNG of a folder and the number in its name.
struct NumberedFile {
  fs::path path;
  std::optional<long long> number;
};

/// The last run of digits in the stem.
std::optional<long long> number_in(const std::string& stem) {
  constexpr const char* digits = "0123456789";
  const auto last = stem.find_last_of(digits);
  if (last == stem.npos) return {};
  const auto before = stem.find_last_not_of(digits, last);
  const auto first = before == stem.npos ? 0 : before + 1;
  long long value = 0;
  const auto [end, error] = std::from_chars(stem.data() + first, stem.data() + last + 1, value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

/// The folder's PNG files in their order. Throws RequestError: none, a number that is missing or twice.
std::vector<fs::path> frames_in(const fs::path& folder) {
  std::vector<NumberedFile> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (extension_of(entry->path()) == ".png" && !name.starts_with('.'))
      files.push_back({entry->path(), number_in(entry->path().stem().string())});
  }
  require(!error, [&] { return fmt::format("{} cannot be read: {}", folder.string(), error.message()); });
  require(!files.empty(), [&] {
    return folder.string() + " holds no .png file; a folder of frames, as frame_00000.png and on, works";
  });
  std::ranges::sort(files, {}, &NumberedFile::path);
  const bool is_numbered =
      std::ranges::all_of(files, [](const auto& file) { return file.number.has_value(); });
  if (is_numbered) std::ranges::stable_sort(files, {}, &NumberedFile::number);
  std::vector<fs::path> paths;
  for (const auto& file : files) {
    if (is_numbered && !paths.empty()) {
      const long long expected = *files[paths.size() - 1].number + 1;
      require(*file.number == expected, [&] {
        const std::string before = paths.back().filename().string(), after = file.path.filename().string();
        return *file.number < expected
                   ? fmt::format("{}: {} and {} have one number; one file a frame works", folder.string(),
                                 before, after)
                   : fmt::format("{}: frame {} is missing between {} and {}; a folder without gaps works",
                                 folder.string(), expected, before, after);
      });
    }
    paths.push_back(file.path);
  }
  return paths;
}

}  // namespace

Video detail::decode_video(const fs::path& path, std::optional<FrameRate> wanted) {
  av_log_set_level(AV_LOG_QUIET);  // what goes wrong is thrown
  Decoder decoder(path);
  const auto rate = decoder.rate();
  FrameCollector collector(path, rate ? wanted : std::nullopt, decoder.tick());
  libav::RgbConverter converter(path);
  decoder.run([&](const AVFrame& frame, double time) {
    auto [height, width, pixels] = converter.convert(frame);
    collector.add(height, width, std::move(pixels), time);
  });
  Video video = collector.finish(rate);
  if (!rate) video.rate = wanted;
  return video;
}

std::optional<std::string> detail::read_container_comment(const fs::path& path) {
  av_log_set_level(AV_LOG_QUIET);
  const auto input = open_input(path);
  const AVDictionaryEntry* const tag = av_dict_get(input->metadata, "comment", nullptr, 0);
  return tag == nullptr ? std::nullopt : std::optional<std::string>(tag->value);
}

Video detail::decode_png_folder(const fs::path& folder) {
  av_log_set_level(AV_LOG_QUIET);
  FrameCollector collector(folder, {}, 0);
  for (const fs::path& path : frames_in(folder)) {
    libav::RgbConverter converter(path);
    int frames = 0;
    Decoder(path, "png_pipe").run([&](const AVFrame& frame, double) {
      require(++frames == 1, [&] { return path.string() + " holds several images; one a file works"; });
      auto [height, width, pixels] = converter.convert(frame);
      collector.add(height, width, std::move(pixels), 0);
    });
    require(frames == 1, [&] { return path.string() + " holds no image; a PNG file works"; });
  }
  return collector.finish({});
}

}  // namespace stepvideo::io
