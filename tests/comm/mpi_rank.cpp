// One rank of a test: mpirun starts it with the name of a scenario.
#include <stepvideo/comm/mpi_wire.hpp>

#include "comm/process_scenarios.hpp"

int main(int, char** arguments) {
  stepvideo::MpiWire wire;
  return stepvideo::testing::run_scenario(wire, arguments[1]);
}
