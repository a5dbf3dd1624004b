// Processes that MPI's launcher started.
#pragma once
#include <memory>

#include <stepvideo/comm/rank_wire.hpp>

namespace stepvideo::launch {

/// This process' end of so many. Throws RequestError where there is no MPI, and where it finds another
/// number.
std::unique_ptr<WorldWire> mpi_wire(int ranks);

}  // namespace stepvideo::launch
