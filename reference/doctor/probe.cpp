#include "doctor/probe.hpp"

namespace stepvideo::doctor {

MachineFacts probe_machine(const std::filesystem::path& output) {
  MachineFacts facts;
  facts.build = this_build();
  facts.host = probe_host(output);
  facts.environment = probe_environment();
  probe_gpus(facts);
  // Half a gigabyte is slow to load from a cold disk; without a GPU nothing depends on it.
  facts.libraries =
      probe_libraries(facts.gpus.empty() ? std::chrono::milliseconds(400) : std::chrono::seconds(10));
  return facts;
}

}  // namespace stepvideo::doctor
