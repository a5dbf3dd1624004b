// The tensors of one model component, from one safetensors file or from shards with their index.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>

#include "io/safetensors.hpp"

namespace stepvideo::io {

/// A tensor that a model of a given configuration must find.
struct ExpectedTensor {
  std::string name;
  Shape shape;
};

/// All tensors of a component, memory-mapped. Copies share the mappings.
class Checkpoint {
 public:
  /// `path` is a safetensors file, or a folder that holds one, or one with shards and their
  /// `*.safetensors.index.json`. Throws RequestError naming the file: missing, truncated, a shard that the
  /// index names and the folder lacks, a tensor that the index places where it is not.
  static Checkpoint open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, TensorRecord>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Throws RequestError naming the tensor and the file when it is not there.
  const TensorRecord& at(const std::string& name) const;

  /// Throws one RequestError that lists every problem: tensors missing, of another shape, of a dtype that is
  /// not floating point, and NaN or infinite values are found by load(). Tensors nobody expects are allowed
  /// only where `allows_extra`.
  void validate(const std::vector<ExpectedTensor>& expected, bool allows_extra = false) const;

  /// The tensor as T, rounded to nearest even where it narrows; flattened row-major. Throws RequestError
  /// naming the tensor when a value is NaN or infinite.
  template <Element T>
  Buffer<T> load(const std::string& name) const;

 private:
  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorRecord> tensors_;
};

extern template Buffer<float> Checkpoint::load<float>(const std::string&) const;
extern template Buffer<bf16> Checkpoint::load<bf16>(const std::string&) const;

/// The md5 (hex) that identifies a set of tensors: each tensor's "key:d0_d1_..." and its bare "key", all these
/// strings sorted, joined with commas.
std::string tensor_list_hash(const std::vector<ExpectedTensor>& tensors);

}  // namespace stepvideo::io
