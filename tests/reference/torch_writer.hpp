// Files of torch.save, byte by byte: good ones, and such as PyTorch would never write.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.hpp"

namespace stepvideo::testing {

/// The bytes of a number, little-endian.
template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

struct ZipEntry {
  std::string name, contents;
  std::uint16_t method = 0, flags = 0;
  std::uint32_t size_is_off_by = 0;  ///< what the directory lies by
};

/// A zip archive of stored entries; `is_wide` states sizes and offsets in 64 bits only.
inline std::string zip_archive(const std::vector<ZipEntry>& entries, bool is_wide = false) {
  constexpr std::uint32_t wide = 0xFFFF'FFFF;
  std::string archive, directory;
  for (const auto& entry : entries) {
    const std::uint64_t header = archive.size(), size = entry.contents.size() + entry.size_is_off_by;
    const auto narrow = [&](std::uint64_t value) {
      return bytes_of(is_wide ? wide : static_cast<std::uint32_t>(value));
    };
    const auto name_bytes = bytes_of(static_cast<std::uint16_t>(entry.name.size()));
    const std::string shared = bytes_of(entry.flags) + bytes_of(entry.method) + bytes_of(std::uint64_t{0}) +
                               narrow(size) + narrow(size) + name_bytes;  // the 8 bytes: time, crc32
    const std::string extra = is_wide ? bytes_of(std::uint16_t{7}) + bytes_of(std::uint16_t{2}) + "xx" +
                                            bytes_of(std::uint16_t{1}) + bytes_of(std::uint16_t{24}) +
                                            bytes_of(size) + bytes_of(size) + bytes_of(header)
                                      : "";
    archive += "PK\3\4" + bytes_of(std::uint16_t{20}) + shared + bytes_of(std::uint16_t{3}) + entry.name +
               "pad" + entry.contents;
    directory += "PK\1\2" + bytes_of(std::uint16_t{20}) + bytes_of(std::uint16_t{20}) + shared +
                 bytes_of(static_cast<std::uint16_t>(extra.size())) + std::string(10, '\0') + narrow(header) +
                 entry.name + extra;
  }
  const std::uint64_t begin = archive.size(), size = directory.size(), count = entries.size();
  archive += directory;
  if (is_wide) {
    const std::uint64_t record = archive.size();
    archive += "PK\6\6" + bytes_of(std::uint64_t{44}) + std::string(12, '\0') + bytes_of(count) +
               bytes_of(count) + bytes_of(size) + bytes_of(begin);
    archive += "PK\6\7" + std::string(4, '\0') + bytes_of(record) + bytes_of(std::uint32_t{1});
  }
  return archive + "PK\5\6" + std::string(4, '\0') + std::string(4, is_wide ? '\xFF' : '\0') +
         bytes_of(is_wide ? wide : static_cast<std::uint32_t>(size)) +
         bytes_of(is_wide ? wide : static_cast<std::uint32_t>(begin)) + std::string(2, '\0');
}

/// Where a tensor of a pickle lies.
struct PickledTensor {
  std::string key;
  std::int64_t storage_elements = 0;
  std::vector<std::int64_t> shape = {}, strides = {};
  std::int64_t offset = 0;
  std::string type = "FloatStorage";
};

/// A pickle of protocol 2, one opcode after the other.
class PickleWriter {
 public:
  PickleWriter& op(std::string_view raw) {
    bytes_ += raw;
    return *this;
  }
  PickleWriter& text(std::string_view value) {
    return op("X").op(bytes_of(static_cast<std::uint32_t>(value.size()))).op(value);
  }
  PickleWriter& integer(std::int64_t value) { return op("\x8a\x08").op(bytes_of(value)); }
  PickleWriter& global(std::string_view module, std::string_view name) {
    return op("c").op(module).op("\n").op(name).op("\n");
  }
  PickleWriter& integers(const std::vector<std::int64_t>& values) {
    op("(");
    for (const auto value : values) integer(value);
    return op("t");
  }
  PickleWriter& storage(const PickledTensor& tensor) {
    op("(").text("storage").global("torch", tensor.type).text(tensor.key).text("cpu");
    return integer(tensor.storage_elements).op("tQ");
  }
  PickleWriter& tensor(const PickledTensor& tensor) {
    global("torch._utils", "_rebuild_tensor_v2").op("(").storage(tensor).integer(tensor.offset);
    integers(tensor.shape).integers(tensor.strides).op("\x89");
    return global("collections", "OrderedDict").op(")RtR");
  }
  std::string finish() { return bytes_ + "."; }
  /// What was written so far, without the pickle's beginning.
  std::string bytes() const { return bytes_.substr(2); }

 private:
  std::string bytes_ = "\x80\x02";
};

/// A whole file: the pickle and its storages by key.
inline std::string torch_file(const std::string& pickle, const std::map<std::string, std::string>& storages,
                              bool is_wide = false) {
  std::vector<ZipEntry> entries{{"model/data.pkl", pickle}, {"model/byteorder", "little"}};
  for (const auto& [key, contents] : storages) entries.push_back({"model/data/" + key, contents});
  entries.push_back({"model/version", "3\n"});
  return zip_archive(entries, is_wide);
}

/// The tensors of a safetensors file as torch.save would write its state dict.
inline std::string torch_file(const io::SafetensorsFile& file) {
  const std::map<io::Dtype, std::string> types{{io::Dtype::f32, "FloatStorage"},
                                               {io::Dtype::bf16, "BFloat16Storage"},
                                               {io::Dtype::f16, "HalfStorage"},
                                               {io::Dtype::i64, "LongStorage"}};
  std::map<std::string, std::string> storages;
  PickleWriter pickle;
  pickle.op("}(");
  for (const auto& [name, record] : file.tensors()) {
    const std::string key = std::to_string(storages.size());
    storages[key].assign(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size());
    std::vector<std::int64_t> strides(record.shape.size(), 1);
    for (std::size_t axis = record.shape.size(); axis-- > 1;)
      strides[axis - 1] = strides[axis] * record.shape[axis];
    pickle.text(name).tensor(
        {key, io::element_count(record.shape), record.shape, strides, 0, types.at(record.dtype)});
  }
  return torch_file(pickle.op("u").finish(), storages);
}

}  // namespace stepvideo::testing
