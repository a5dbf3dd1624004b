#include "io/upload.hpp"

#include <algorithm>
#include <vector>

#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/error.hpp>

#include "io/convert_elements.hpp"
#include "io/mapped_file.hpp"

namespace stepvideo::io {
namespace {

/// Elements of an item, and their place in a slot.
struct Run {
  const UploadItem* item;
  index_t first, count;
  std::byte* slot;

  std::size_t kept_bytes() const { return static_cast<std::size_t>(count) * dtype_bytes(item->kept); }
  std::span<const std::byte> stored_bytes() const {
    const std::size_t size = dtype_bytes(item->stored.dtype);
    return item->stored.bytes.subspan(static_cast<std::size_t>(first) * size,
                                      static_cast<std::size_t>(count) * size);
  }
};

/// What a thread makes at a time, in bytes of the slot: so little that the threads end together, and enough
/// that asking for its pages costs little.
constexpr std::size_t piece_bytes = std::size_t{256} << 10;

std::vector<Run> in_pieces(const std::vector<Run>& runs) {
  std::vector<Run> pieces;
  for (const Run& run : runs) {
    const std::size_t size = dtype_bytes(run.item->kept);
    const auto most = static_cast<index_t>(piece_bytes / size);
    for (index_t first = 0; first < run.count; first += most)
      pieces.push_back({run.item, run.first + first, std::min(most, run.count - first),
                        run.slot + static_cast<std::size_t>(first) * size});
  }
  return pieces;
}

/// Maps the pages of a piece in one go: a fault for each few of them takes longer than the copy. Where the
/// system cannot, faults do.
void map_pages([[maybe_unused]] std::span<const std::byte> bytes) {
#ifdef MADV_POPULATE_READ
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size());
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
#endif
}

/// Fills a piece of a slot; returns as convert_elements().
index_t fill(const Run& piece, const UploadPolicy& policy) {
  const auto& [tensor, stored, kept, target] = *piece.item;
  if (policy.reads_files && stored.dtype == kept && read_from_file(piece.stored_bytes(), piece.slot)) {
    const index_t bad = find_non_finite(kept, piece.slot, piece.count);
    return bad == every_element ? bad : piece.first + bad;
  }
  map_pages(piece.stored_bytes());
  return convert_elements(stored, piece.first, piece.count, kept, piece.slot);
}

void fill(const std::vector<Run>& runs, const UploadPolicy& policy) {
  const std::vector<Run> pieces = in_pieces(runs);
  const auto count = std::ssize(pieces);
  std::vector<index_t> bad(pieces.size());
  const int threads = std::min(policy.most_threads, omp_get_max_threads());
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (std::ptrdiff_t i = 0; i < count; ++i)
    bad[static_cast<std::size_t>(i)] = fill(pieces[static_cast<std::size_t>(i)], policy);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const UploadItem& item = *pieces[i].item;
    if (bad[i] != every_element) refuse_element(item.tensor, item.stored, bad[i], item.kept);
  }
}

}  // namespace

void UploadRing::upload(Device device, std::span<const UploadItem> items, const UploadProgress& progress) {
  std::vector<Run> runs;
  std::byte* memory = nullptr;
  std::size_t used = 0;
  const auto flush = [&] {
    if (runs.empty()) return;
    fill(runs, policy_);
    std::uint64_t read = 0;
    for (const Run& run : runs) {
      slots_.send(device, run.slot, run.kept_bytes(),
                  run.item->target + static_cast<std::size_t>(run.first) * dtype_bytes(run.item->kept));
      read += run.stored_bytes().size();
    }
    slots_.seal(device, next_);
    next_ = (next_ + 1) % slots_.count();
    runs.clear();
    used = 0;
    if (progress) progress(read);
  };
  for (const UploadItem& item : items) {
    require_floating_point(item.tensor, item.stored.dtype);
    const index_t elements = element_count(item.stored.shape);
    const std::size_t size = dtype_bytes(item.kept);
    for (index_t first = 0; first < elements;) {
      if (runs.empty()) memory = slots_.claim(next_);
      const auto room =
          static_cast<index_t>((slots_.slot_bytes() - std::min(used, slots_.slot_bytes())) / size);
      if (room == 0) {
        flush();
        continue;
      }
      const Run run{&item, first, std::min(room, elements - first), memory + used};
      runs.push_back(run);
      first += run.count;
      used = (used + run.kept_bytes() + storage_alignment - 1) / storage_alignment * storage_alignment;
    }
  }
  flush();
}

}  // namespace stepvideo::io
