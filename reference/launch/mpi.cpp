#include "launch/mpi.hpp"

#include <filesystem>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/shared_library.hpp>

namespace stepvideo::launch {
namespace {

namespace fs = std::filesystem;

/// The library beside the program, or where it is installed. Throws Error with the loader's reason.
SharedLibrary mpi_library() {
  std::error_code unused;
  const fs::path folder = fs::read_symlink("/proc/self/exe", unused).parent_path();
  const fs::path beside = folder / STEPVIDEO_MPI_LIBRARY;
  return SharedLibrary(fs::exists(beside, unused)
                           ? beside
                           : folder / STEPVIDEO_MPI_FOLDER_FROM_PROGRAM / STEPVIDEO_MPI_LIBRARY);
}

}  // namespace

std::unique_ptr<WorldWire> mpi_wire(int ranks) {
  std::unique_ptr<WorldWire> wire;
  try {
    wire.reset(mpi_library().get<WorldWire*()>("stepvideo_mpi_wire")());
  } catch (const Error& error) {
    throw RequestError(fmt::format(
        "mpirun started {} processes for this run, and this program finds no MPI ({}); torchrun and srun "
        "need none, and --gpus {} makes as many ranks in one process",
        ranks, error.what(), ranks));
  }
  require(wire->ranks() == ranks, [&] {
    return fmt::format(
        "the launcher started {} processes and MPI finds {}; the mpirun of the Open MPI that this program "
        "was built with works, and so do RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each process",
        ranks, wire->ranks());
  });
  return wire;
}

}  // namespace stepvideo::launch
