#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/pending_file.hpp"
#include "io/safetensors.hpp"

namespace stepvideo::io {

void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t i) { return dtype_bytes(tensors[i].dtype); });

  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t offset = 0;
  for (const std::size_t i : order) {
    const NamedTensor& tensor = tensors[i];
    if (tensor.bytes.size() !=
        dtype_bytes(tensor.dtype) * static_cast<std::size_t>(element_count(tensor.shape)))
      throw Error(fmt::format("tensor {} of shape {} and dtype {} cannot be written from {} bytes",
                              in_quotes(tensor.name), to_string(tensor.shape), dtype_name(tensor.dtype),
                              tensor.bytes.size()));
    if (tensor.name == "__metadata__" || header.contains(tensor.name))
      throw Error(fmt::format("{}: tensor {} is given twice; names must differ", path.string(),
                              in_quotes(tensor.name)));
    header[tensor.name] = {{"dtype", dtype_name(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }

  constexpr std::size_t length_bytes = 8, alignment = 64;
  std::string head = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  head.append((alignment - (length_bytes + head.size()) % alignment) % alignment, ' ');
  const std::uint64_t head_bytes = head.size();

  PendingFile file(path);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.temporary().c_str(), "wb"),
                                                               [](std::FILE*) { return 0; });
  bool is_whole = stream != nullptr;
  const auto write = [&](const void* bytes, std::size_t count) {
    is_whole = is_whole && std::fwrite(bytes, 1, count, stream.get()) == count;
  };
  write(&head_bytes, length_bytes);
  write(head.data(), head.size());
  for (const std::size_t i : order) write(tensors[i].bytes.data(), tensors[i].bytes.size());
  const bool is_closed = stream != nullptr && std::fclose(stream.get()) == 0;
  if (!is_whole || !is_closed)
    throw Error(fmt::format("{} cannot be written: {}", path.string(), std::strerror(errno)));
  file.publish();
}

}  // namespace stepvideo::io
