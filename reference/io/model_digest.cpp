#include "io/model_digest.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <openssl/evp.h>

#include <stepvideo/core/error.hpp>

#include "io/extension.hpp"
#include "io/mapped_file.hpp"
#include "io/weight_names.hpp"

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t archive_head_bytes = 1 << 20, block_bytes = 4096, blocks = 64;
constexpr std::size_t digits = 32;

class Sha256 {
 public:
  Sha256() : context_((without_configuration(), EVP_MD_CTX_new()), &EVP_MD_CTX_free) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::span<const std::byte> bytes) {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  /// A number ends what stands before it: names and contents cannot run into one another.
  void add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }

  std::string hexadecimal() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  /// The machine's openssl.cnf, which may load modules, is about connections and costs a millisecond.
  static void without_configuration() { OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr); }
  static void check(bool is_done) {
    if (!is_done) throw Error("libcrypto refuses SHA-256; a build that allows it is needed to name a model");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// Bytes at the file's beginning that count in full: what says which tensors it holds.
std::size_t head_of(const fs::path& path, std::span<const std::byte> bytes) {
  constexpr std::array<std::string_view, 3> small_files{".json", ".model", ".txt"};
  if (std::ranges::find(small_files, extension_of(path)) != small_files.end()) return bytes.size();
  if (extension_of(path) != ".safetensors") return std::min(bytes.size(), archive_head_bytes);
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) return bytes.size();
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  return sizeof header_bytes + std::min<std::uint64_t>(header_bytes, bytes.size() - sizeof header_bytes);
}

void add_file(Sha256& digest, const fs::path& path) {
  const std::string name = path.filename().string();
  digest.add(std::as_bytes(std::span(name)));
  digest.add(name.size());
  std::error_code unused;
  if (fs::file_size(path, unused) == 0) return digest.add(std::uint64_t{0});
  const auto file = MappedFile::open(path, "a part of a model");
  const auto bytes = file.bytes();
  digest.add(bytes.size());
  const std::size_t head = head_of(path, bytes);
  digest.add(bytes.first(head));
  const auto rest = bytes.subspan(head);
  if (rest.size() <= blocks * block_bytes) return digest.add(rest);
  const std::size_t last = rest.size() - block_bytes;
  for (std::size_t i = 0; i < blocks; ++i)  // the first at 0, the last at the end
    digest.add(rest.subspan(last / (blocks - 1) * i + last % (blocks - 1) * i / (blocks - 1), block_bytes));
}

std::vector<fs::path> files_of(const fs::path& component) {
  std::error_code error;
  if (!fs::is_directory(component, error)) return {component};
  constexpr std::array<std::string_view, 5> extensions{".json", ".safetensors", ".bin", ".model", ".txt"};
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(component, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path path = entry->path();
    std::error_code unused;
    if (!path.filename().string().starts_with(".") && fs::is_regular_file(path, unused) &&
        std::ranges::find(extensions, extension_of(path)) != extensions.end())
      files.push_back(path);
  }
  require(!error,
          [&] { return fmt::format("{} cannot be listed: {}", component.string(), error.message()); });
  std::ranges::sort(files);
  return files;
}

std::string files_digest(const std::vector<fs::path>& files) {
  Sha256 digest;
  for (const fs::path& file : files) add_file(digest, file);
  return digest.hexadecimal().substr(0, digits);
}

}  // namespace

std::string component_digest(const fs::path& model, Component component) {
  return files_digest(files_of(find_component(model, component)));
}

std::string weights_digest(const fs::path& path, const StoredTensors& stored) {
  std::error_code unused;
  if (fs::is_directory(path, unused)) return files_digest(files_of(path));
  std::vector<fs::path> files = stored.files();
  if (is_index_name(path.filename().string())) files.push_back(path);
  std::ranges::sort(files);
  return files_digest(files);
}

std::string tensors_digest(const StoredTensors& stored) {
  Sha256 digest;
  for (const auto& [name, tensor] : stored.tensors()) {
    digest.add(std::as_bytes(std::span(name)));
    digest.add(name.size());
    digest.add(static_cast<std::uint64_t>(tensor.dtype));
    for (const auto extents : {&tensor.shape, &tensor.strides}) {
      digest.add(std::as_bytes(std::span(*extents)));
      digest.add(extents->size());
    }
    digest.add(tensor.bytes);
  }
  return digest.hexadecimal().substr(0, digits);
}

std::string text_digest(std::string_view text) {
  Sha256 digest;
  digest.add(std::as_bytes(std::span(text)));
  return digest.hexadecimal().substr(0, digits);
}

}  // namespace stepvideo::io
