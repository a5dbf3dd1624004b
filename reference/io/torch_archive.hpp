// The tensors of a file that torch.save wrote (pytorch_model.bin), without running its pickle.
#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "io/stored_tensor.hpp"

namespace stepvideo::io {

/// Whether the file begins as a zip archive does (and not as a safetensors file with a header that long).
bool is_torch_archive(std::span<const std::byte> file);

/// Throws RequestError when the file is what PyTorch wrote before version 1.6, or a bare pickle.
void refuse_old_torch_file(std::span<const std::byte> file, const std::string& source);

/// The tensors of an archive NAME/data.pkl, NAME/data/KEY, ...: those of the dict at its top, or of the dict
/// "state_dict" in it when it holds no tensor itself. Dicts, lists and tuples within are entered; a tensor is
/// then called by the way to it, joined with dots. Numbers, texts and None are passed over. Tensors may share
/// storages and be strided; the result points into `archive`. Layout: torch.save's file format 3
/// (torch/serialization.py), rebuilt as torch/_utils.py's _rebuild_tensor_v2 and _rebuild_parameter do.
/// Throws RequestError naming `source` and the tensor: what Pickle::read and read_zip_directory refuse,
/// anything that is no plain data, storages that are not there or shorter than stated, tensors that reach out
/// of theirs, a name twice or of more than 1024 bytes, more than 64 dicts within one another, big-endian
/// data.
std::map<std::string, StoredTensor> read_torch_archive(std::span<const std::byte> archive,
                                                       const std::string& source);

}  // namespace stepvideo::io
