// The tensors of one model component, from one file (safetensors, or PyTorch's) or shards with their index.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
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

/// Some elements of a tensor, flattened row-major: `runs` times `count` that follow one another, from `first`
/// on, `stride` apart.
struct ElementRuns {
  index_t first = 0, count = 0, stride = 0, runs = 1;

  index_t size() const { return count * runs; }
};

/// All tensors of a component, memory-mapped, elements in a row. Copies share the mappings.
class Checkpoint {
 public:
  /// `path` and what is refused: as StoredTensors::open. Tensors that PyTorch stored as strided views are
  /// copied into rows; a file whose copies would take more than itself is refused.
  static Checkpoint open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, TensorRecord>& tensors() const { return tensors_; }
  /// What all tensors take in their files.
  std::uint64_t bytes() const;
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Throws RequestError naming the tensor and the file when it is not there.
  const TensorRecord& at(const std::string& name) const;
  /// "FILE: tensor NAME", as errors call it.
  std::string tensor_text(const std::string& name) const;

  /// Whether `name` is F8_E4M3 with scales beside it: "NAME_scale", of floating point, one value for the
  /// tensor or one for each of its rows.
  bool has_scales(const std::string& name) const;
  /// Those of each row, in float32. Throws RequestError naming the tensor: a scale that is not positive and
  /// finite, another number of rows.
  void read_scales(const std::string& name, VectorView<float> into) const;
  /// The elements of an F8_E4M3 tensor as they are stored. Throws RequestError naming the tensor where one is
  /// NaN, or there are others than `into` holds.
  void read_codes(const std::string& name, VectorView<fp8_e4m3> into) const;

  /// Throws one RequestError that lists the problems (at most a hundred, then how many more): tensors
  /// missing, of another shape, of a dtype that is not floating point, scales that do not fit. Tensors nobody
  /// expects, of which scales are none, are allowed only where `allows_extra`, and there not beside one that
  /// is expected ("a.scale_weight", "a.bias" or "a.weight.absmax" where "a.weight" is): they would change
  /// what it means. NaN and infinite values are found by load().
  void validate(const std::vector<ExpectedTensor>& expected, bool allows_extra = false) const;

  /// The tensor as T, rounded to nearest even where it narrows (F64 by way of float); flattened row-major.
  /// Throws RequestError naming the tensor: integers, a value that is NaN or infinite or becomes so as T, fp8
  /// that has scales.
  template <Element T>
  Buffer<T> load(const std::string& name) const;
  /// The same into memory that there is already. Throws RequestError unless `into` has the tensor's size.
  template <Element T>
  void read(const std::string& name, VectorView<T> into) const;
  /// A part of it: other elements are not looked at. Throws RequestError unless `part` lies in the tensor and
  /// fills `into`.
  template <Element T>
  void read(const std::string& name, const ElementRuns& part, VectorView<T> into) const;

  /// The tensor as int32, flattened row-major: token ids (I32, I64) and masks (BOOL, U8, F32 of whole
  /// numbers). Throws RequestError naming the tensor when a value is not a whole number of 32 bits.
  Buffer<std::int32_t> load_integers(const std::string& name) const;

  /// Throws RequestError where a reader of the bare values would leave scales out.
  void require_no_scales(const std::string& name) const;

 private:
  std::filesystem::path path_;
  std::vector<std::shared_ptr<const void>> memory_;
  std::map<std::string, TensorRecord> tensors_;
};

extern template Buffer<float> Checkpoint::load<float>(const std::string&) const;
extern template Buffer<bf16> Checkpoint::load<bf16>(const std::string&) const;
extern template void Checkpoint::read<float>(const std::string&, VectorView<float>) const;
extern template void Checkpoint::read<bf16>(const std::string&, VectorView<bf16>) const;
extern template void Checkpoint::read<float>(const std::string&, const ElementRuns&, VectorView<float>) const;
extern template void Checkpoint::read<bf16>(const std::string&, const ElementRuns&, VectorView<bf16>) const;

/// What the scales of an fp8 tensor are called.
inline std::string scales_of(const std::string& tensor) {
  return tensor + "_scale";
}

/// The md5 (hex) that identifies a set of tensors: each tensor's "key:d0_d1_..." and its bare "key", all
/// these strings sorted, joined with commas.
std::string tensor_list_hash(const std::vector<ExpectedTensor>& tensors);

}  // namespace stepvideo::io
