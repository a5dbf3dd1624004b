#include "io/checkpoint.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/stored_tensors.hpp"

namespace stepvideo::io {
namespace fs = std::filesystem;

Checkpoint Checkpoint::open(const fs::path& path) {
  const auto stored = StoredTensors::open(path);
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  checkpoint.memory_ = stored.memory();
  std::uint64_t gathered_bytes = 0;
  for (const auto& entry : stored.tensors()) {
    const std::string& name = entry.first;
    const StoredTensor& tensor = entry.second;
    TensorRecord record{tensor.dtype, tensor.shape, tensor.bytes};
    if (!tensor.strides.empty()) {
      gathered_bytes += tensor.size_bytes();
      require(tensor.size_bytes() <= stored.file_bytes() && gathered_bytes <= stored.file_bytes(), [&] {
        return fmt::format(
            "{}: tensor {} of shape {} repeats its elements beyond the file's size; save it "
            "with .contiguous()",
            path.string(), in_quotes(name), to_string(tensor.shape));
      });
      const auto values = std::make_shared<std::vector<std::byte>>(tensor.size_bytes());
      gather(tensor, 0, *values);
      record.bytes = *values;
      checkpoint.memory_.push_back(std::shared_ptr<const void>(values, values->data()));
    }
    checkpoint.tensors_.emplace(name, std::move(record));
  }
  return checkpoint;
}

std::uint64_t Checkpoint::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [name, record] : tensors_) sum += record.bytes.size();
  return sum;
}

const TensorRecord& Checkpoint::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  require(found != tensors_.end(), [&] {
    return fmt::format("{} has no tensor {} (it holds {})", path_.string(), in_quotes(name), tensors_.size());
  });
  return found->second;
}

std::string Checkpoint::tensor_text(const std::string& name) const {
  return fmt::format("{}: tensor {}", path_.string(), in_quotes(name));
}

void Checkpoint::validate(const std::vector<ExpectedTensor>& expected, bool allows_extra) const {
  std::vector<std::string> problems;
  std::set<std::string_view> names;
  for (const auto& [name, shape] : expected) {
    names.insert(name);
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      problems.push_back(fmt::format("{} is missing", name));
      continue;
    }
    const auto& [dtype, stored_shape, bytes] = found->second;
    if (stored_shape != shape)
      problems.push_back(
          fmt::format("{} has shape {} where {} is due", name, to_string(stored_shape), to_string(shape)));
    if (dtype > Dtype::f8_e4m3)
      problems.push_back(fmt::format("{} has dtype {} where floating point is due", name, dtype_name(dtype)));
  }
  if (!allows_extra)
    for (const auto& [name, record] : tensors_)
      if (!names.contains(name))
        problems.push_back(fmt::format("{} is not part of this model", in_quotes(name)));

  constexpr std::size_t most_listed = 100;
  require(problems.empty(), [&] {
    const std::size_t listed = std::min(problems.size(), most_listed);
    return fmt::format(
        "{} does not fit its configuration: {}{}", path_.string(),
        fmt::join(problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(listed), "; "),
        problems.size() > listed ? fmt::format("; and {} more", problems.size() - listed) : "");
  });
}

std::string tensor_list_hash(const std::vector<ExpectedTensor>& tensors) {
  std::vector<std::string> words;
  for (const auto& [name, shape] : tensors) {
    words.push_back(fmt::format("{}:{}", name, fmt::join(shape, "_")));
    words.push_back(name);
  }
  std::ranges::sort(words);
  const std::string text = fmt::format("{}", fmt::join(words, ","));

  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int digest_bytes = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &digest_bytes, EVP_md5(), nullptr) != 1)
    throw Error("libcrypto refuses md5; a build that allows it is needed to identify a checkpoint");
  std::string hexadecimal;
  for (unsigned int i = 0; i < digest_bytes; ++i) hexadecimal += fmt::format("{:02x}", digest[i]);
  return hexadecimal;
}

}  // namespace stepvideo::io
