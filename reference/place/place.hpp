// Where a run's models live: the CPU, or a GPU that was looked at and found fit.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "place/choice.hpp"

namespace stepvideo::place {

/// What a GPU is, as far as it decides whether it runs and how fast.
struct GpuDescription {
  int ordinal = 0;
  std::string name;    ///< "NVIDIA H200"
  std::string uuid;    ///< "GPU-..." or "MIG-..."
  std::string bus_id;  ///< "0000:1b:00.0"
  int major = 0, minor = 0, multiprocessors = 0;
  std::uint64_t memory_bytes = 0, free_bytes = 0;
  std::uint64_t budget_bytes = 0;  ///< of its memory that the run may take; 0 for all
  std::string matmuls = {};  ///< what decides the algorithms of its matrix products: plan::matmul_choice
};

/// Of the GPU's memory, what a run may take.
inline std::uint64_t allowed_bytes(const GpuDescription& gpu) {
  return gpu.budget_bytes > 0 ? std::min(gpu.budget_bytes, gpu.memory_bytes) : gpu.memory_bytes;
}

struct Accelerator;  // place/accelerator.cuh

/// Copies share the GPU; it is opened at the first accelerator() and closed with the last copy.
class Place {
 public:
  /// The CPU.
  Place() = default;
  explicit Place(GpuDescription gpu);

  /// The same GPU, of whose memory the run takes no more than `bytes` in all. Throws RequestError for the
  /// CPU.
  Place with_budget(std::uint64_t bytes) const;

  bool is_gpu() const { return shared_ != nullptr; }
  const GpuDescription& gpu() const;
  /// "the CPU", "NVIDIA H200 (cuda:0)"
  std::string name() const;
  bool has_budget() const { return is_gpu() && gpu().budget_bytes > 0; }
  /// What the run may still take of the opened GPU's memory; without a budget more than there is.
  std::size_t budget_left() const;
  /// The opened GPU; for code that nvcc compiles.
  Accelerator& accelerator() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

/// Why a program that holds machine code for `built` architectures (900 for 9.0), and with more than one also
/// PTX of the newest, does not run on the GPU; empty where it does. Code for x.y runs on x.z from z = y on.
std::string missing_code(const GpuDescription& gpu, std::span<const int> built);

/// Looks, within milliseconds and without opening it, whether the chosen GPU will run: it is there, its
/// driver serves this program, which holds code for it. Automatic: the first GPU where one is
/// found fit, or the CPU. Throws RequestError naming --device, what was found and what would work.
Place find_place(const Choice& choice);

/// Throws RequestError unless `bytes` are free on the place's GPU; names who holds the rest.
void require_free_memory(const Place& place, double bytes);

}  // namespace stepvideo::place
