#include <fmt/format.h>

#include <stepvideo/comm/mpi_wire.hpp>
#include <stepvideo/core/error.hpp>

#include "launch/mpi.hpp"

namespace stepvideo::launch {

std::unique_ptr<RankWire> mpi_wire(int ranks) {
  auto wire = std::make_unique<MpiWire>();
  require(wire->ranks() == ranks, [&] {
    return fmt::format(
        "the launcher started {} processes and MPI finds {}; the mpirun of the Open MPI that this program "
        "was "
        "built with works, and so does RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each process",
        ranks, wire->ranks());
  });
  return wire;
}

}  // namespace stepvideo::launch
