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

namespace {

/// "a.b" of "a.b.weight"; empty where there is no dot.
std::string_view module_of(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == name.npos ? std::string_view() : name.substr(0, dot);
}

/// Whether the name is one of `names` with more behind it, as in "a.weight_scale" or "a.weight.absmax".
bool belongs_to(std::string_view name, const std::set<std::string_view>& names) {
  for (std::size_t length = name.size(); length-- > 1;)
    if ((name[length] == '.' || name[length] == '_') && names.contains(name.substr(0, length))) return true;
  return false;
}

}  // namespace

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
    if (!is_floating_point(dtype))
      problems.push_back(fmt::format("{} has dtype {} where floating point is due", name, dtype_name(dtype)));
  }
  std::set<std::string> scales;
  for (const auto& [name, shape] : expected) {
    if (!has_scales(name)) continue;
    const Shape& found = at(scales_of(name)).shape;
    const std::int64_t count = element_count(found), rows = shape.empty() ? 1 : shape.front();
    if (count == 1 || count == rows)
      scales.insert(scales_of(name));
    else
      problems.push_back(fmt::format("{} has shape {} where one value or {} are due", scales_of(name),
                                     to_string(found), rows));
  }
  // Beside a tensor that is read, one more changes what that means: a scale, a bias, a part of a low rank.
  std::set<std::string_view> modules;
  for (const std::string_view name : names) modules.insert(module_of(name));
  modules.erase("");
  for (const auto& [name, record] : tensors_) {
    if (names.contains(name) || scales.contains(name)) continue;
    if (!allows_extra)
      problems.push_back(fmt::format("{} is not part of this model", in_quotes(name)));
    else if (modules.contains(module_of(name)) || belongs_to(name, names) || name == "scaled_fp8")
      problems.push_back(
          fmt::format("{} would change what the model's tensors mean, and is not applied; files "
                      "with plain weights work",
                      in_quotes(name)));
  }

  constexpr std::size_t most_listed = 100;
  require(problems.empty(), [&] {
    const std::size_t listed = std::min(problems.size(), most_listed);
    return fmt::format(
        "{} does not fit its configuration: {}{}", path_.string(),
        fmt::join(problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(listed), "; "),
        problems.size() > listed ? fmt::format("; and {} more", problems.size() - listed) : "");
  });
}

bool Checkpoint::has_scales(const std::string& name) const {
  const auto found = tensors_.find(name), scales = tensors_.find(scales_of(name));
  return found != tensors_.end() && scales != tensors_.end() && found->second.dtype == Dtype::f8_e4m3;
}

void Checkpoint::read_scales(const std::string& name, VectorView<float> into) const {
  const Buffer<float> stored = load<float>(scales_of(name));
  require(stored.size() == 1 || stored.size() == into.size, [&] {
    return fmt::format("{} has {} values for {} rows; one, or one for each row works",
                       tensor_text(scales_of(name)), stored.size(), into.size);
  });
  for (index_t row = 0; row < into.size; ++row) {
    into[row] = stored[stored.size() == 1 ? 0 : row];
    require(into[row] > 0, [&] {
      return fmt::format("{} holds {} at row {}; a scale is above 0", tensor_text(scales_of(name)), into[row],
                         row);
    });
  }
}

void Checkpoint::require_no_scales(const std::string& name) const {
  require(!has_scales(name), [&] {
    return fmt::format("{} is fp8 with the scales {} beside it; --precision fp8 on one rank applies them",
                       tensor_text(name), scales_of(name));
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
