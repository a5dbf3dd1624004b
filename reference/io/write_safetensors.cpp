#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/safetensors_stream.hpp"

namespace stepvideo::io {
namespace {

std::size_t announced_bytes(const NamedTensor& tensor) {
  return dtype_bytes(tensor.dtype) * static_cast<std::size_t>(element_count(tensor.shape));
}

}  // namespace

SafetensorsStream::SafetensorsStream(const std::filesystem::path& path,
                                     const std::vector<NamedTensor>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path), stream_(std::fopen(file_.temporary().c_str(), "wb"), &std::fclose) {
  if (stream_ == nullptr)
    throw Error(fmt::format("{} cannot be written: {}", path.string(), std::strerror(errno)));
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t end = 0;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name == "__metadata__" || header.contains(tensor.name))
      throw Error(fmt::format("{}: tensor {} is given twice; names must differ", path.string(),
                              in_quotes(tensor.name)));
    const std::size_t begin = end;
    end += announced_bytes(tensor);
    header[tensor.name] = {
        {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }

  constexpr std::size_t length_bytes = 8, alignment = 64;
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((alignment - (length_bytes + text.size()) % alignment) % alignment, ' ');
  const std::uint64_t text_bytes = text.size();
  bytes_left_ = length_bytes + text.size() + end;
  append(std::as_bytes(std::span(&text_bytes, 1)));
  append(std::as_bytes(std::span(text)));
}

void SafetensorsStream::append(std::span<const std::byte> bytes) {
  if (bytes.size() > bytes_left_)
    throw Error(fmt::format("{}: more bytes were written than its tensors take", file_.target().string()));
  if (std::fwrite(bytes.data(), 1, bytes.size(), stream_.get()) != bytes.size())
    throw Error(fmt::format("{} cannot be written: {}", file_.target().string(), std::strerror(errno)));
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
