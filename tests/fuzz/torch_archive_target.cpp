// A file that torch.save wrote: the zip directory, the pickle and the views of storages.
#include <algorithm>
#include <vector>

#include "io/torch_archive.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  for (const auto& entry : io::read_torch_archive(file, "weights.bin")) {
    const io::StoredTensor& tensor = entry.second;
    const auto head = std::min<std::uint64_t>(tensor.size_bytes(), 4096);
    std::vector<std::byte> elements(head / io::dtype_bytes(tensor.dtype) * io::dtype_bytes(tensor.dtype));
    io::gather(tensor, 0, elements);
    const auto count = static_cast<std::int64_t>(elements.size() / io::dtype_bytes(tensor.dtype));
    io::gather(tensor, io::element_count(tensor.shape) - count, elements);
  }
}

}  // namespace stepvideo::fuzz
