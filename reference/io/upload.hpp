// Tensors of mapped files to the memory of a GPU, through memory that the GPU copies from by itself: while
// one part is on its way, the host's threads make the next.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <stepvideo/core/execution.hpp>

#include "io/checkpoint.hpp"
#include "io/safetensors.hpp"

namespace stepvideo::io {

/// A tensor and where it goes.
struct UploadItem {
  std::string tensor;   ///< what errors call it: "FILE: tensor NAME"
  TensorRecord stored;  ///< floating point
  Dtype kept;           ///< what it becomes: F32, F16, BF16 or F8_E4M3
  std::byte* target;    ///< as many elements of `kept`, in the memory of the execution
};

/// Tensor `name` of `checkpoint`, whose mapping must outlive the upload, becomes elements of T at `target`.
/// Throws RequestError where it has scales and T is not fp8, which leaves them to the caller.
template <Element T>
UploadItem upload_item(const Checkpoint& checkpoint, const std::string& name, T* target) {
  if constexpr (!std::same_as<T, fp8_e4m3>) checkpoint.require_no_scales(name);
  return {checkpoint.tensor_text(name), checkpoint.at(name), dtype_of<T>,
          reinterpret_cast<std::byte*>(target)};
}

/// Slots that the host fills and a GPU empties. io/pinned_slots.cuh has the ones of CUDA.
class UploadSlots {
 public:
  virtual ~UploadSlots() = default;
  virtual int count() const = 0;
  /// 64 at least.
  virtual std::size_t slot_bytes() const = 0;
  /// The slot's memory, aligned to 64 bytes, once all that was sent from it has left it.
  virtual std::byte* claim(int slot) = 0;
  /// `bytes` of a claimed slot go to `target`, in the order of the execution.
  virtual void send(Device device, const std::byte* from, std::size_t bytes, std::byte* target) = 0;
  /// No more is sent of the slot, all of which went by `device`, until it is claimed again.
  virtual void seal(Device device, int slot) = 0;
};

/// What `allocate(bytes)` gives first of `largest`, half of it, and so on, while that is `smallest` or more;
/// an empty optional where it always is one.
template <class Allocate>
auto largest_allocation(index_t largest, index_t smallest, Allocate&& allocate) {
  auto memory = allocate(largest);
  while (!memory && largest / 2 >= smallest) memory = allocate(largest /= 2);
  return memory;
}

/// How slots are filled. Measured by the test reference/upload_device with --log_level=message, which prints
/// what a ring reaches with others; chosen before it ran on a GPU: the slots together stay in the third
/// cache, and as many threads as memory feeds leave cores to the rest.
struct UploadPolicy {
  index_t slot_bytes = index_t{16} << 20;
  int most_threads = 12;
  /// What is kept as it is stored is read from its file, not copied from the mapping: a page of a mapping
  /// costs a fault or a call to have it put there.
  bool reads_files = true;
};

/// Told each time a slot was sent: the bytes it took of the files.
using UploadProgress = std::function<void(std::uint64_t)>;

/// Fills slots in turn. Calls may name different streams of the slots' GPU; one thread calls at a time, and
/// its OpenMP threads convert.
class UploadRing {
 public:
  /// The slots outlive the ring.
  explicit UploadRing(UploadSlots& slots, const UploadPolicy& policy = {}) : slots_(slots), policy_(policy) {}

  /// Sends the items, in their order; small ones share a slot. Returns when all are sent, which is before the
  /// last have arrived: what `device` is given next finds them. Throws RequestError naming the tensor:
  /// integers, a value that is NaN or infinite as what is kept; items before it may have been sent.
  void upload(Device device, std::span<const UploadItem> items, const UploadProgress& progress = {});

 private:
  UploadSlots& slots_;
  UploadPolicy policy_;
  int next_ = 0;
};

}  // namespace stepvideo::io
