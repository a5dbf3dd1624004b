#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string_view>

#include "io/extension.hpp"
#include "io/frame_collector.hpp"
#include "io/libav.hpp"
#include "io/video.hpp"

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;
using libav::check;

/// One file, decoded frame by frame.
class Decoder {
 public:
  explicit Decoder(const fs::path& path, const char* format = nullptr)
      : path_(path), input_(libav::open_input(path, format)) {
    AVFormatContext* const context = input_.get();
#if LIBAVFORMAT_VERSION_INT < AV_VERSION_INT(60, 15, 100)
    av_format_inject_global_side_data(
        context);  // how the frames are to be turned; later versions do it anyway
#endif
    const AVCodec* decoder = nullptr;
    stream_ = avformat_find_stream_info(context, nullptr) < 0
                  ? AVERROR_STREAM_NOT_FOUND
                  : av_find_best_stream(context, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    require(stream_ >= 0 && decoder != nullptr && (stream().disposition & AV_DISPOSITION_ATTACHED_PIC) == 0,
            [&] {
              return fmt::format("{} holds no video that can be decoded; {}", path.string(),
                                 libav::what_can_be_read);
            });
    codec_.reset(check(avcodec_alloc_context3(decoder), path, "decoded"));
    check(avcodec_parameters_to_context(codec_.get(), stream().codecpar), path, "decoded");
    // Of a TIFF that would refuse what it does not know, resolutions among it.
    if (codec_->codec_id != AV_CODEC_ID_TIFF) codec_->err_recognition |= AV_EF_EXPLODE;
    codec_->pkt_timebase = stream().time_base;
    require(avcodec_open2(codec_.get(), decoder, nullptr) >= 0,
            [&] { return fmt::format("{} cannot be decoded; {}", path.string(), libav::what_can_be_read); });
    packet_.reset(check(av_packet_alloc(), path, "decoded"));
    frame_.reset(check(av_frame_alloc(), path, "decoded"));
    shown_.reset(check(av_frame_alloc(), path, "decoded"));
  }

  const AVStream& stream() const {
    return *input_->streams[stream_];
  }
  double tick() const {
    return av_q2d(stream().time_base);
  }

  /// Whether the file is a picture. There may be more behind its end: bytes that nobody reads, or, of
  /// photographs, smaller pictures.
  bool is_still() const {
    return std::string_view(input_->iformat->name).ends_with("_pipe");
  }
  /// What the file says of itself; a still image has no rate.
  std::optional<FrameRate> rate() const {
    if (is_still()) return {};
    for (const AVRational& rate : {stream().avg_frame_rate, stream().r_frame_rate})
      if (rate.num > 0 && rate.den > 0) return FrameRate{rate.num, rate.den};
    return FrameRate{};
  }

  /// The moment until which the last frame is shown, where the file says it.
  double end_time() const {
    return end_time_;
  }

  /// Hands every frame to `take(frame, seconds)`; one that the file says to keep for another frame's time,
  /// again. Throws RequestError where the file is cut short or damaged.
  template <class Take>
  void run(Take&& take) {
    int code = 0;
    while ((code = av_read_frame(input_.get(), packet_.get())) >= 0) {
      if (packet_->stream_index == stream_) {
        require((packet_->flags & AV_PKT_FLAG_CORRUPT) == 0, [&] { return cut_sentence(); });
        ++packets_;
        end_ = avio_tell(input_->pb);
        if (packet_->pts != AV_NOPTS_VALUE)
          end_time_ = std::max(end_time_, static_cast<double>(packet_->pts + packet_->duration) * tick());
        if (packet_->size == 0)
          kept_times_.push_back(static_cast<double>(packet_->pts) * tick());
        else if (is_still() && frames_ > 0 && !begins_as_first())
          break;
        else
          decode(packet_.get(), take);
      }
      av_packet_unref(packet_.get());
    }
    decode(nullptr, take);
    keep_until(std::numeric_limits<double>::infinity(), take);
    require((code == AVERROR_EOF || is_still()) && !is_cut(), [&] { return cut_sentence(); });
  }

 private:
  /// Whether the index lists more than there was, or half a frame stands at the end.
  bool is_cut() const {
    if (input_->pb != nullptr && input_->pb->error < 0) return true;
    if (packets_ < avformat_index_get_entries_count(&stream())) return true;
    if (codec_->codec_id == AV_CODEC_ID_TIFF) return !libav::tiff_is_whole(path_);
    const std::string_view format = input_->iformat->name;
    if (format == "yuv4mpegpipe") return packets_ > 0 && avio_size(input_->pb) > end_;
    // The muxer of webm writes the length of the whole; other streams may be longer than the video.
    if (format.starts_with("matroska") && input_->nb_streams == 1 && input_->duration > 0 && frames_ > 1 &&
        !libav::matroska_is_whole(path_)) {
      const double usual = (latest_ - first_) / (frames_ - 1);
      return std::max(end_time_, latest_ + std::max(1.5 * usual, 1.05 * longest_gap_)) <
             static_cast<double>(input_->duration) / AV_TIME_BASE;
    }
    return false;
  }

  /// Whether the packet is of the kind of a still image's first: what follows an image may be anything.
  bool begins_as_first() const {
    return packet_->size >= static_cast<int>(first_bytes_.size()) &&
           std::equal(first_bytes_.begin(), first_bytes_.end(), packet_->data);
  }

  std::string cut_sentence() const {
    return fmt::format("{} is cut short after {} frames; a whole file works", path_.string(), packets_);
  }

  /// The frame that is on the screen, for each time before `time` at which the file has a frame without
  /// bytes.
  template <class Take>
  void keep_until(double time, Take& take) {
    while (!kept_times_.empty() && kept_times_.front() < time) {
      if (frames_ > 0) {
        latest_ = kept_times_.front();
        take(*shown_, latest_);
        ++frames_;
      }
      kept_times_.pop_front();
    }
  }

  template <class Take>
  void decode(const AVPacket* packet, Take& take) {
    if (packet != nullptr && packets_ == 1 && packet->size >= static_cast<int>(first_bytes_.size()))
      std::copy_n(packet->data, first_bytes_.size(), first_bytes_.begin());
    const int sent = avcodec_send_packet(codec_.get(), packet);
    require_decoded(sent == AVERROR_EOF ? 0 : sent);
    for (int code = 0; (code = avcodec_receive_frame(codec_.get(), frame_.get())) != AVERROR(EAGAIN);) {
      if (code == AVERROR_EOF) return;
      require_decoded(frame_->decode_error_flags != 0 ? AVERROR_INVALIDDATA : code);
      const double time = time_of_frame();
      keep_until(time, take);
      if (frames_ == 0) first_ = latest_ = time;
      longest_gap_ = std::max(longest_gap_, time - latest_);
      latest_ = time;
      take(*frame_, time);
      ++frames_;
      av_frame_unref(shown_.get());
      av_frame_move_ref(shown_.get(), frame_.get());
    }
  }

  void require_decoded(int code) const {
    require(code >= 0, [&] {
      return fmt::format("{} cannot be decoded at frame {}: {}; {}", path_.string(), frames_,
                         libav::reason(code), "a file that is whole works");
    });
  }

  /// Streams may leave times out, MPEG-PS those of its last frames: a frame follows the one before it then.
  double time_of_frame() const {
    const std::int64_t stamp = frame_->best_effort_timestamp;
    if (stamp != AV_NOPTS_VALUE) return static_cast<double>(stamp) * tick();
    return frames_ == 0 ? 0 : latest_ + 1 / rate().value_or(FrameRate{}).value();
  }

  fs::path path_;
  libav::Input input_;
  int stream_ = -1, packets_ = 0, frames_ = 0;
  std::int64_t end_ = 0;
  double first_ = 0, latest_ = 0, longest_gap_ = 0, end_time_ = 0;
  std::deque<double> kept_times_;
  std::array<std::uint8_t, 3> first_bytes_{};
  libav::Codec codec_;
  libav::Packet packet_;
  libav::Frame frame_, shown_;
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
    if (decoder.is_still() && !collector.has_size(height, width)) return;
    collector.add(height, width, std::move(pixels), time);
  });
  Video video = collector.finish(rate, decoder.end_time());
  if (!rate) video.rate = wanted;
  return video;
}

std::optional<std::string> detail::read_container_comment(const fs::path& path) {
  av_log_set_level(AV_LOG_QUIET);
  const auto input = libav::open_input(path);
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
  return collector.finish({}, 0);
}

}  // namespace stepvideo::io
