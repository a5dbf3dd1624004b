// One rank of a test: RANK RANKS PORT SECONDS SCENARIO; the port is rank 0's first, the seconds its patience.
#include <cstdio>

#include <stepvideo/comm/rendezvous.hpp>

#include "comm/process_scenarios.hpp"

int main(int, char** arguments) {
  using namespace stepvideo;
  const Rendezvous job{.rank = std::stoi(arguments[1]),
                       .ranks = std::stoi(arguments[2]),
                       .host = "127.0.0.1",
                       .first_port = std::stoi(arguments[3]),
                       .is_on_one_host = true,
                       .token = {'t'},
                       .patience = std::chrono::seconds(std::stoi(arguments[4]))};
  try {
    SocketWire wire(job.rank, meet_ranks(job));
    return testing::run_scenario(wire, arguments[5]);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
