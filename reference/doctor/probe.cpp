#include "doctor/probe.hpp"

namespace stepvideo::doctor {

MachineFacts probe_machine(const std::filesystem::path& output) {
  MachineFacts facts;
  facts.build = this_build();
  facts.host = probe_host(output);
  facts.environment = probe_environment();
  facts.libraries = probe_libraries();
  probe_gpus(facts);
  return facts;
}

}  // namespace stepvideo::doctor
