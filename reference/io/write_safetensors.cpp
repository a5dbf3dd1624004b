#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/manifest.hpp"
#include "io/safetensors_stream.hpp"

namespace stepvideo::io {
namespace {

constexpr const char* metadata_name = "__metadata__";
constexpr std::size_t length_bytes = 8, alignment = 64;

std::size_t announced_bytes(const NamedTensor& tensor) {
  return dtype_bytes(tensor.dtype) * static_cast<std::size_t>(element_count(tensor.shape));
}

}  // namespace

SafetensorsStream::SafetensorsStream(const std::filesystem::path& path,
                                     const std::vector<NamedTensor>& tensors,
                                     const std::map<std::string, std::string>& metadata,
                                     std::size_t spare_bytes)
    : file_(path), stream_(std::fopen(file_.temporary().c_str(), "wb"), &std::fclose) {
  if (stream_ == nullptr)
    throw Error(fmt::format("{} cannot be written: {}", path.string(), std::strerror(errno)));
  Json header = Json::object();
  std::size_t end = 0;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name == metadata_name || header.contains(tensor.name))
      throw Error(fmt::format("{}: tensor {} is given twice; names must differ", path.string(),
                              in_quotes(tensor.name)));
    const std::size_t begin = end;
    end += announced_bytes(tensor);
    header[tensor.name] = {
        {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  tensors_text_ = manifest_text(header);
  std::string text = header_text(metadata);
  text.append(spare_bytes, ' ');
  text.append((alignment - (length_bytes + text.size()) % alignment) % alignment, ' ');
  header_bytes_ = text.size();
  bytes_left_ = end;
  const std::uint64_t text_bytes = text.size();
  write(std::as_bytes(std::span(&text_bytes, 1)));
  write(std::as_bytes(std::span(text)));
}

std::string SafetensorsStream::header_text(const std::map<std::string, std::string>& metadata) const {
  if (metadata.empty()) return tensors_text_;
  Json object = Json::object();
  object[metadata_name] = metadata;
  const std::string text = manifest_text(object);
  // Both are objects: joined, they are one whose metadata comes first.
  return text.substr(0, text.size() - 1) + (tensors_text_ == "{}" ? "" : ",") + tensors_text_.substr(1);
}

bool SafetensorsStream::replace_metadata(const std::map<std::string, std::string>& metadata) {
  std::string text = header_text(metadata);
  if (text.size() > header_bytes_) return false;
  text.resize(header_bytes_, ' ');
  const auto seek = [&](long offset, int origin) {
    if (std::fseek(stream_.get(), offset, origin) != 0)
      throw Error(fmt::format("{} cannot be written: {}", file_.target().string(), std::strerror(errno)));
  };
  seek(length_bytes, SEEK_SET);
  write(std::as_bytes(std::span(text)));
  seek(0, SEEK_END);
  return true;
}

void SafetensorsStream::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;  // a span of nothing may be a null pointer, which fwrite may not be given
  if (std::fwrite(bytes.data(), 1, bytes.size(), stream_.get()) != bytes.size())
    throw Error(fmt::format("{} cannot be written: {}", file_.target().string(), std::strerror(errno)));
}

void SafetensorsStream::append(std::span<const std::byte> bytes) {
  if (bytes.size() > bytes_left_)
    throw Error(fmt::format("{}: more bytes were written than its tensors take", file_.target().string()));
  write(bytes);
  bytes_left_ -= bytes.size();
}

void SafetensorsStream::finish() {
  if (bytes_left_ != 0)
    throw Error(
        fmt::format("{}: {} bytes of its tensors were never written", file_.target().string(), bytes_left_));
  if (std::fclose(stream_.release()) != 0)
    throw Error(fmt::format("{} cannot be written: {}", file_.target().string(), std::strerror(errno)));
  file_.publish();
}

void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  for (const NamedTensor& tensor : tensors)
    if (tensor.bytes.size() != announced_bytes(tensor))
      throw Error(fmt::format("tensor {} of shape {} and dtype {} cannot be written from {} bytes",
                              in_quotes(tensor.name), to_string(tensor.shape), dtype_name(tensor.dtype),
                              tensor.bytes.size()));
  auto in_order = tensors;
  std::ranges::stable_sort(in_order, std::ranges::greater{},
                           [](const NamedTensor& tensor) { return dtype_bytes(tensor.dtype); });
  SafetensorsStream stream(path, in_order, metadata);
  for (const NamedTensor& tensor : in_order) stream.append(tensor.bytes);
  stream.finish();
}

}  // namespace stepvideo::io
