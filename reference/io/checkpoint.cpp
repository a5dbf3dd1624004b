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

namespace stepvideo::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view index_suffix = ".safetensors.index.json";
constexpr std::array usual_names{"diffusion_pytorch_model.safetensors", "model.safetensors",
                                 "vae_v2.safetensors"};

struct FolderListing {
  std::vector<fs::path> indexes, files;
  bool has_pickle = false;
};

FolderListing list_folder(const fs::path& folder) {
  FolderListing listing;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(".")) continue;
    if (name.ends_with(index_suffix)) listing.indexes.push_back(entry->path());
    if (name.ends_with(".safetensors")) listing.files.push_back(entry->path());
    if (name.ends_with(".bin") || name.ends_with(".pt")) listing.has_pickle = true;
  }
  require(!error, [&] { return fmt::format("{} cannot be listed: {}", folder.string(), error.message()); });
  std::ranges::sort(listing.indexes);
  std::ranges::sort(listing.files);
  return listing;
}

/// The one file of a folder without an index.
fs::path choose_file(const fs::path& folder, const FolderListing& listing) {
  for (const char* name : usual_names)
    if (std::ranges::find(listing.files, folder / name) != listing.files.end()) return folder / name;
  require(!listing.files.empty() || !listing.has_pickle, [&] {
    return fmt::format(
        "{0} holds a pickle (pytorch_model.bin) only, and this program reads safetensors; convert it with: "
        "python3 "
        "-c \"import torch, safetensors.torch; safetensors.torch.save_file({{k: v.contiguous().clone() for "
        "k, v in "
        "torch.load('{0}/pytorch_model.bin', map_location='cpu', weights_only=True).items()}}, "
        "'{0}/model.safetensors')\"",
        folder.string());
  });
  require(!listing.files.empty(), [&] {
    return fmt::format("{} holds no tensors; looked for *{}, {} or one other *.safetensors", folder.string(),
                       index_suffix, fmt::join(usual_names, ", "));
  });
  require(listing.files.size() == 1, [&] {
    return fmt::format(
        "{} holds {} safetensors files and none of the usual names ({}); name the file instead",
        folder.string(), listing.files.size(), fmt::join(usual_names, ", "));
  });
  return listing.files.front();
}

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\\') == name.npos && name.find('\0') == name.npos;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  std::error_code unused;
  FolderListing listing;
  if (fs::is_directory(path, unused)) listing = list_folder(path);
  if (listing.indexes.empty()) {
    const bool is_folder = fs::is_directory(path, unused);
    checkpoint.files_.push_back(SafetensorsFile::open(is_folder ? choose_file(path, listing) : path));
    checkpoint.tensors_ = checkpoint.files_.front().tensors();
    return checkpoint;
  }

  require(listing.indexes.size() == 1, [&] {
    return fmt::format("{} holds {} index files (*{}); one works", path.string(), listing.indexes.size(),
                       index_suffix);
  });
  const fs::path& index_path = listing.indexes.front();
  const auto places = field<Json>(read_json(index_path), index_path, "weight_map");
  std::map<std::string, std::map<std::string, TensorRecord>> shards;
  for (const auto& [tensor, shard] : places.items()) {
    require(shard.is_string() && is_plain_file_name(shard.get<std::string>()), [&] {
      return fmt::format("{} places tensor {} in {}; the name of a file in the same folder works",
                         index_path.string(), in_quotes(tensor),
                         shard.dump(-1, ' ', false, Json::error_handler_t::replace));
    });
    const auto name = shard.get<std::string>();
    if (!shards.contains(name)) {
      require(fs::exists(path / name, unused), [&] {
        return fmt::format("{} names the shard {}, which is not in its folder; copy or download it",
                           index_path.string(), in_quotes(name));
      });
      checkpoint.files_.push_back(SafetensorsFile::open(path / name));
      shards[name] = checkpoint.files_.back().tensors();
    }
    const auto found = shards[name].find(tensor);
    require(found != shards[name].end(), [&] {
      return fmt::format("{} places tensor {} in {}, which does not hold it", index_path.string(),
                         in_quotes(tensor), in_quotes(name));
    });
    checkpoint.tensors_[tensor] = found->second;
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
