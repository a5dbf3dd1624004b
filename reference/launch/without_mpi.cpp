#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "launch/mpi.hpp"

namespace stepvideo::launch {

std::unique_ptr<RankWire> mpi_wire(int ranks) {
  throw RequestError(fmt::format(
      "mpirun started {} processes for this run, and this program was built without MPI; --gpus {} "
      "makes as many ranks in one process, and torchrun and srun need no MPI",
      ranks, ranks));
}

}  // namespace stepvideo::launch
