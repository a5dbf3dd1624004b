// Finding and opening GPUs.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <optional>

#include <cublasLt.h>
#include <fmt/format.h>

#include "on_demand/nvml.hpp"
#include "place/accelerator.cuh"
#include "place/place.hpp"
#include "plan/matmul_table.hpp"

namespace stepvideo::place {
namespace {

constexpr int least_major = 8;

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// How many GPUs CUDA shows, or why it shows none.
struct Count {
  int gpus = 0;
  std::string problem;
};

Count count_gpus() {
  Count count;
  const cudaError_t status = cudaGetDeviceCount(&count.gpus);
  if (status == cudaSuccess && count.gpus > 0) return count;
  cudaGetLastError();
  count.gpus = 0;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0)
    count.problem =
        "no NVIDIA driver was found (libcuda.so.1); stepvideo doctor tells more, --device cpu works";
  else if (status == cudaErrorInsufficientDriver)
    count.problem = fmt::format(
        "the driver serves CUDA {} and this program needs {}; a newer driver or --device cpu "
        "works",
        version_text(driver), version_text(CUDART_VERSION));
  else
    count.problem = fmt::format(
        "CUDA shows no GPU ({}); nvidia-smi -L and CUDA_VISIBLE_DEVICES tell why, --device cpu "
        "works",
        cudaGetErrorString(status));
  return count;
}

std::string uuid_of(const cudaDeviceProp& properties) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(properties.uuid.bytes);
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i)
    text += fmt::format("{}{:02x}", i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
  return text;
}

/// The free memory as the driver counts it; all of it where the driver does not tell without a context.
std::uint64_t free_bytes(const GpuDescription& gpu) {
  const auto session = nvml::Session::open_if_there();
  nvml::Device* const device = session ? session->device(gpu.bus_id) : nullptr;
  const auto memory = device != nullptr ? session->memory(device) : std::nullopt;
  return memory ? std::min<std::uint64_t>(memory->free, gpu.memory_bytes) : gpu.memory_bytes;
}

GpuDescription describe(int ordinal) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, ordinal));
  GpuDescription gpu{
      .ordinal = ordinal,
      .name = properties.name,
      .uuid = uuid_of(properties),
      .bus_id = fmt::format("{:04x}:{:02x}:{:02x}.0", properties.pciDomainID, properties.pciBusID,
                            properties.pciDeviceID),
      .major = properties.major,
      .minor = properties.minor,
      .multiprocessors = properties.multiProcessorCount,
      .memory_bytes = properties.totalGlobalMem,
      .matmuls = plan::matmul_choice({properties.major, properties.minor, properties.multiProcessorCount,
                                      static_cast<std::int64_t>(cublasLtGetVersion())})};
  gpu.free_bytes = free_bytes(gpu);
  return gpu;
}

/// Why this GPU will not run, or nothing.
std::string unfitness(const GpuDescription& gpu) {
  if (gpu.major < least_major)
    return fmt::format("{} has compute capability {}.{}; {}.0 or newer works, or --device cpu", gpu.name,
                       gpu.major, gpu.minor, least_major);
  constexpr int built[] = {__CUDA_ARCH_LIST__};
  if (std::string missing = missing_code(gpu, built); !missing.empty()) return missing;
  // cuBLAS before 12.5.2.13 ends H20 and H200 runs with a division by zero inside cublasLt (NVIDIA's release
  // notes of 12.5 update 1); this program is built for 13.
  if (cublasLtGetVersion() < 130000)
    return fmt::format("the cuBLAS that the loader finds is {}; 13.0 or newer works", cublasLtGetVersion());
  return {};
}

/// Throws RequestError where it will not run.
GpuDescription describe_fit(const Choice& choice, int ordinal) {
  GpuDescription gpu = describe(ordinal);
  const std::string problem = unfitness(gpu);
  require(problem.empty(), [&] { return fmt::format("--device {}: {}", to_string(choice), problem); });
  return gpu;
}

}  // namespace

struct Place::Shared {
  GpuDescription description;
  std::once_flag is_opened;
  std::unique_ptr<Accelerator> accelerator;
};

Place::Place(GpuDescription gpu) : shared_(std::make_shared<Shared>()) {
  shared_->description = std::move(gpu);
}

const GpuDescription& Place::gpu() const {
  require(is_gpu(), "the run's place is the CPU and a GPU was asked of it");
  return shared_->description;
}

std::string Place::name() const {
  return is_gpu() ? fmt::format("{} (cuda:{})", gpu().name, gpu().ordinal) : "the CPU";
}

std::size_t Place::budget_left() const {
  if (!has_budget()) return std::numeric_limits<std::size_t>::max();
  const Accelerator& opened = accelerator();
  return gpu().budget_bytes - std::min(gpu().budget_bytes, opened.own_bytes + opened.gpu.used_bytes());
}

Accelerator& Place::accelerator() const {
  const int ordinal = gpu().ordinal;
  std::call_once(shared_->is_opened, [&] {
    shared_->accelerator = std::make_unique<Accelerator>(ordinal);
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    shared_->accelerator->own_bytes = gpu().free_bytes - std::min<std::uint64_t>(gpu().free_bytes, free);
  });
  shared_->accelerator->gpu.bind();
  return *shared_->accelerator;
}

Place find_place(const Choice& choice) {
  if (choice.kind == Choice::Kind::cpu) return {};
  // MIG slices exist for CUDA only by this variable, which it reads at its first call.
  if (!choice.uuid.empty()) setenv("CUDA_VISIBLE_DEVICES", choice.uuid.c_str(), 1);
  const Count count = count_gpus();
  if (choice.kind == Choice::Kind::automatic) {
    for (int ordinal = 0; ordinal < count.gpus; ++ordinal) try {
        if (const GpuDescription gpu = describe(ordinal); unfitness(gpu).empty()) return Place(gpu);
      } catch (const Error&) {
        // A GPU that does not answer is none that is fit.
      }
    return {};
  }
  require(count.gpus > 0, [&] { return fmt::format("--device {}: {}", to_string(choice), count.problem); });
  require(choice.ordinal < count.gpus, [&] {
    return fmt::format("--device {}: CUDA shows {} GPU{}; the last is cuda:{}; --device cpu works",
                       to_string(choice), count.gpus, count.gpus == 1 ? "" : "s", count.gpus - 1);
  });
  return Place(describe_fit(choice, choice.ordinal));
}

Place find_places(const Choice& choice, const RankPlaces& ranks) {
  const Place first = find_place(choice);
  const int all = ranks.ranks * ranks.processes;
  if (!first.is_gpu() || all == 1) return first;
  const int begin = first.gpu().ordinal, gpus = count_gpus().gpus - begin;
  // A launcher may show each process its own GPU alone.
  const bool has_its_own = ranks.processes > 1 && gpus == ranks.ranks;
  require(ranks.shares_gpus || has_its_own || gpus >= all, [&] {
    return fmt::format(
        "--gpus {} --device {}: CUDA shows {} GPU{}{}; --gpus {} works, --share-gpus puts several ranks on "
        "one, and --device cpu works",
        all, to_string(choice), gpus, gpus == 1 ? "" : "s",
        begin > 0 ? fmt::format(" from cuda:{} on", begin) : "", gpus);
  });
  const int own = has_its_own ? 0 : ranks.process * ranks.ranks, sharing = has_its_own ? ranks.ranks : all;
  std::vector<GpuDescription> places;
  for (int rank = own; rank < own + ranks.ranks; ++rank) {
    GpuDescription gpu = describe_fit(choice, begin + rank % gpus);
    gpu.sharers = (sharing - 1 - rank % gpus) / gpus + 1;
    places.push_back(std::move(gpu));
  }
  return Place::of_ranks(places);
}

void let_reach(const Place& place, int ranks) {
  for (int rank = 0; rank < ranks; ++rank)
    for (int other = 0; other < ranks; ++other)
      place.of_rank(rank).accelerator().gpu.reach(place.of_rank(other).accelerator().gpu);
  place.accelerator();  // the calling thread's again
}

}  // namespace stepvideo::place
