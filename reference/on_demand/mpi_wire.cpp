// A library of its own, which launch/mpi.cpp opens where mpirun has started the program: the program needs no
// MPI.
#include <stepvideo/comm/mpi_wire.hpp>

extern "C" stepvideo::WorldWire* stepvideo_mpi_wire() {
  return new stepvideo::MpiWire;
}
