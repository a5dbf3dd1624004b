// What a conversion of weights will write: every tensor's new name, dtype and file, settled before a byte
// moves.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "commands/convert_model.hpp"
#include "io/stored_tensors.hpp"

namespace stepvideo::commands {

struct ConvertRequest {
  /// Each as io::StoredTensors::open takes it; together they make one checkpoint. Or one whole model.
  std::vector<std::filesystem::path> inputs;
  /// A file *.safetensors, or a folder, which may be new.
  std::filesystem::path output;
  /// What floating-point tensors become; without it each keeps its own. F8_E4M3 is for the matrices of the
  /// video transformer's blocks, which get scales beside them, and leaves the others as they are.
  std::optional<io::Dtype> dtype = {};
  /// The most bytes of tensors in one file of a folder, unless one tensor alone takes more.
  std::optional<std::uint64_t> max_shard_bytes = {};
  /// "regex=replacement" (ECMAScript, $1 for a group), split at the last '='; applied one after the other.
  std::vector<std::string> renames = {};
  /// Only tensors whose old name matches one of these are written; all where there are none.
  std::vector<std::string> keeps = {};
  /// Whether what is there under `output` may be replaced, whatever made it.
  bool overwrites = false;
};

struct ConvertedTensor {
  std::string name;
  io::Dtype dtype = io::Dtype::f32;
  io::StoredTensor from;
  /// The old name and the input, for messages.
  std::string origin;
  /// Of F8_E4M3 that is to be made: whether this is its rows' scales.
  bool is_scales = false;

  io::Shape shape() const { return is_scales ? io::Shape{from.shape.front()} : from.shape; }
  /// Whether rows become fp8 with a scale each.
  bool is_quantized() const { return dtype == io::Dtype::f8_e4m3 && from.dtype != io::Dtype::f8_e4m3; }
};

/// One file to write: wide dtypes first, so that every tensor is aligned to its element.
struct ConvertedFile {
  std::filesystem::path name;  ///< from the plan's folder
  std::vector<ConvertedTensor> tensors;
  /// The manifest, what the inputs say of themselves, the format.
  std::map<std::string, std::string> metadata = {};
};

/// The index of so many of the plan's files that lie beside it.
struct ConvertedIndex {
  std::filesystem::path name;
  std::size_t first = 0, count = 0;
};

struct ConvertPlan {
  /// Where the files go; it may have to be made when there is more than the one file that was asked for.
  std::filesystem::path folder;
  /// Beside what several files are gathered until all are whole: beside the folder itself, or, where that is
  /// there and keeps what it holds, within it.
  std::filesystem::path staged_beside;
  bool is_single_file = false;
  /// Whether the folder is there and its place is taken.
  bool replaces = false;
  std::vector<ConvertedFile> files;
  /// Files that stand alone need none.
  std::vector<ConvertedIndex> indexes;
  std::vector<CopiedFile> copies;
  std::uint64_t bytes = 0, tensors = 0;
  /// What the tensors lie in.
  std::vector<io::StoredTensors> inputs;
};

/// Opens the inputs and settles everything. Writes nothing. Of a whole model every component is converted,
/// fp8 where one has matrices for it, and every other file copied; of one component's folder that becomes a
/// folder what stands beside the weights. Throws RequestError naming the flag or file: what
/// StoredTensors::open refuses, a regular expression that is none or matches nothing, names that are the same
/// after renaming, an output that is not writable or holds what would be lost, a disk with too little space.
ConvertPlan plan_conversion(const ConvertRequest& request);

/// "fp32", "bf16", "fp16", "fp8" or "keep" (nothing). Throws RequestError naming --dtype.
std::optional<io::Dtype> parse_target_dtype(std::string_view text);

}  // namespace stepvideo::commands
