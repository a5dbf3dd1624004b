// Files of videos, opened: by their content, and without what they point to.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <fstream>
#include <string_view>

extern "C" {
#include <libavutil/avstring.h>
}

#include "io/extension.hpp"
#include "io/libav.hpp"

namespace stepvideo::io::libav {
namespace {

namespace fs = std::filesystem;

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

/// The next element of EBML: its id, and its size, all ones where that is not known.
bool read_element(std::istream& file, std::uint64_t& id, std::uint64_t& size) {
  for (std::uint64_t* const value : {&id, &size}) {
    const int first = file.get();
    if (first <= 0) return false;
    const int more = std::countl_zero(static_cast<std::uint8_t>(first));
    bool is_unknown = true;
    *value = static_cast<std::uint64_t>(value == &id ? first : first & (0x7F >> more));
    is_unknown = *value == static_cast<std::uint64_t>(0x7F >> more);
    for (int i = 0; i < more; ++i) {
      const int next = file.get();
      if (next < 0) return false;
      *value = *value << 8 | static_cast<std::uint64_t>(next);
      is_unknown = is_unknown && next == 0xFF;
    }
    if (value == &size && is_unknown) size = ~std::uint64_t{0};
  }
  return true;
}

}  // namespace

Input open_input(const fs::path& path, const char* format) {
  const auto refuse = [&](int code) {
    throw RequestError(
        fmt::format("{} cannot be read as a video: {}; {}", path.string(), reason(code), what_can_be_read));
  };
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  av_dict_set(&options, "format_whitelist", formats_of_one_file().c_str(), 0);
  const std::string url = "file:" + path.string();
  AVIOContext* file = nullptr;
  int code = avio_open(&file, url.c_str(), AVIO_FLAG_READ);
  if (code < 0) refuse(code);
  // By content alone, where that tells: the name of a picture would stand for a pattern of names.
  const AVInputFormat* found = format != nullptr ? av_find_input_format(format) : nullptr;
  if (found == nullptr && av_probe_input_buffer2(file, &found, "", nullptr, 0, 0) < 0) found = nullptr;
  // Photographs hold smaller pictures behind the first, and look like a film then.
  const std::string extension = extension_of(path);
  if (found != nullptr && std::string_view(found->name) == "mjpeg" &&
      (extension == ".jpg" || extension == ".jpeg"))
    found = av_find_input_format("jpeg_pipe");
  AVFormatContext* context = check(avformat_alloc_context(), path, "opened");
  context->io_open = refuse_to_open;
  context->pb = file;
  code = avformat_open_input(&context, url.c_str(), found, &options);
  av_dict_free(&options);
  if (code < 0) {
    avio_closep(&file);
    refuse(code);
  }
  return Input(context);
}

bool matroska_is_whole(const fs::path& path) {
  constexpr std::uint64_t header_id = 0x1A45DFA3, segment_id = 0x18538067, unknown = ~std::uint64_t{0};
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  std::uint64_t id = 0, size = 0;
  if (error || !read_element(file, id, size) || id != header_id || size > bytes) return false;
  file.seekg(static_cast<std::streamoff>(size), std::ios::cur);
  if (!read_element(file, id, size) || id != segment_id || size == unknown) return false;
  return size <= bytes - static_cast<std::uintmax_t>(file.tellg());
}

bool tiff_is_whole(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(path, error);
  if (error) return true;
  std::ifstream file(path, std::ios::binary);
  const bool is_big_endian = file.get() == 'M';
  const auto number = [&](std::uint64_t place, int width) {
    std::uint64_t value = 0;
    file.seekg(static_cast<std::streamoff>(place));
    for (int i = 0; i < width; ++i) {
      const auto next = static_cast<std::uint64_t>(std::max(file.get(), 0));
      value = is_big_endian ? value << 8 | next : value | next << (8 * i);
    }
    return value;
  };
  struct Values {
    std::uint64_t count = 0, place = 0;
    int width = 4;
  };
  Values offsets, sizes;
  constexpr std::uint64_t strip_offsets = 273, strip_sizes = 279, tile_offsets = 324, tile_sizes = 325;
  constexpr std::uint64_t entry_bytes = 12, type_of_16_bits = 3;
  const std::uint64_t directory = number(4, 4), entries = number(directory, 2);
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::uint64_t place = directory + 2 + i * entry_bytes, tag = number(place, 2);
    Values values{number(place + 4, 4), place + 8, number(place + 2, 2) == type_of_16_bits ? 2 : 4};
    if (values.count * static_cast<std::uint64_t>(values.width) > 4) values.place = number(place + 8, 4);
    if (tag == strip_offsets || tag == tile_offsets) offsets = values;
    if (tag == strip_sizes || tag == tile_sizes) sizes = values;
  }
  const auto value = [&](const Values& values, std::uint64_t i) {
    return number(values.place + i * static_cast<std::uint64_t>(values.width), values.width);
  };
  for (std::uint64_t i = 0; file.good() && i < std::min(offsets.count, sizes.count); ++i)
    if (value(offsets, i) + value(sizes, i) > bytes) return false;
  return file.good() && offsets.count > 0;
}

}  // namespace stepvideo::io::libav
