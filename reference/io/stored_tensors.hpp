// Every tensor of a component as its files store it, whichever format and layout these have.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/stored_tensor.hpp"

namespace stepvideo::io {

/// The tensors of one file, of a folder or of an index with its shards. Copies share the mappings.
class StoredTensors {
 public:
  /// `path` is a safetensors file, a file that torch.save wrote (told by what it holds), an index
  /// (`*.index.json`, `*.index.VARIANT.json`) beside its shards, or a folder: one with an index, one with a
  /// file of the usual name, or one with just one. What is of a variant ("fp16") goes behind what is of none.
  /// In a folder, safetensors files go before PyTorch's. Throws RequestError naming the file: missing,
  /// truncated, what read_torch_archive refuses, a shard that the index names and the folder lacks, a tensor
  /// that the index places where it is not.
  static StoredTensors open(const std::filesystem::path& path);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  /// The files, in the order in which they were opened.
  const std::vector<std::filesystem::path>& files() const { return files_; }
  /// What the safetensors files say about themselves; the first one wins.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// All files together.
  std::uint64_t file_bytes() const { return file_bytes_; }
  /// What the tensors point into.
  const std::vector<std::shared_ptr<const void>>& memory() const { return memory_; }

 private:
  std::map<std::string, StoredTensor> open_file(const std::filesystem::path& path);
  void open_index(const std::filesystem::path& index);

  std::map<std::string, StoredTensor> tensors_;
  std::vector<std::filesystem::path> files_;
  std::map<std::string, std::string> metadata_;
  std::uint64_t file_bytes_ = 0;
  std::vector<std::shared_ptr<const void>> memory_;
};

}  // namespace stepvideo::io
