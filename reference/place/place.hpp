// Where a run's models live: the CPU, or a GPU that was looked at and found fit.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

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
  int sharers = 1;           ///< ranks of this run on it
};

/// Of the GPU's memory, what a run may take.
inline std::uint64_t allowed_bytes(const GpuDescription& gpu) {
  return gpu.budget_bytes > 0 ? std::min(gpu.budget_bytes, gpu.memory_bytes) : gpu.memory_bytes;
}

struct Accelerator;  // place/accelerator.cuh

/// Copies share the GPU; it is opened at the first accelerator() and closed with the last copy. Where several
/// ranks of this process have a place each, rank 0's brings those of the others.
class Place {
 public:
  /// The CPU.
  Place() = default;
  explicit Place(GpuDescription gpu);

  /// The same GPU, of whose memory the run takes no more than `bytes` in all. Throws RequestError for the
  /// CPU.
  Place with_budget(std::uint64_t bytes) const;

  /// Rank 0's, of ranks on these GPUs.
  static Place of_ranks(const std::vector<GpuDescription>& gpus);
  /// That of a rank of this run; the same for all where there is one.
  Place of_rank(int rank) const;
  /// That of the first of `count` ranks from `first` on, with theirs.
  Place of_ranks(int first, int count) const;
  /// Ranks of this process that have a place.
  int ranks() const { return ranks_.empty() ? 1 : static_cast<int>(ranks_.size()); }

  bool is_gpu() const { return shared_ != nullptr; }
  const GpuDescription& gpu() const;
  /// "the CPU", "NVIDIA H200 (cuda:0)"
  std::string name() const;
  bool has_budget() const { return is_gpu() && gpu().budget_bytes > 0; }
  /// What the run may still take of the opened GPU's memory; without a budget more than there is.
  std::size_t budget_left() const;
  /// Makes the GPU, opened, the calling thread's; on the CPU nothing.
  void bind() const {
    if (is_gpu()) accelerator();
  }
  /// The opened GPU, the calling thread's from here on; for code that nvcc compiles.
  Accelerator& accelerator() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::vector<Place> ranks_;  ///< with itself; empty where there is one
};

/// Why a program that holds machine code for `built` architectures (900 for 9.0), and with more than one also
/// PTX of the newest, does not run on the GPU; empty where it does. Code for x.y runs on x.z from z = y on.
std::string missing_code(const GpuDescription& gpu, std::span<const int> built);

/// Looks, within milliseconds and without opening it, whether the chosen GPU will run: it is there, its
/// driver serves this program, which holds code for it. Automatic: the first GPU where one is
/// found fit, or the CPU. Throws RequestError naming --device, what was found and what would work.
Place find_place(const Choice& choice);

/// Ranks that look for GPUs on this host.
struct RankPlaces {
  int ranks = 1;             ///< of this process
  int processes = 1;         ///< of the run, on this host
  int process = 0;           ///< which of them this one is
  bool shares_gpus = false;  ///< several may have one
};
/// The same for ranks that have a GPU each, one behind the other from the chosen one on. Throws RequestError
/// naming --gpus where there are too few.
Place find_places(const Choice& choice, const RankPlaces& ranks);

/// Lets the GPUs of a process' ranks reach each other's memory. Throws RequestError where the machine does
/// not.
void let_reach(const Place& place, int ranks);

/// Throws RequestError unless `bytes` are free for each rank on its GPU; names who holds the rest.
void require_free_memory(const Place& place, double bytes);

}  // namespace stepvideo::place
