#include "doctor/probe.hpp"

namespace stepvideo::doctor {

MachineFacts probe_machine(const std::filesystem::path& output, bool is_thorough) {
  using std::chrono::milliseconds;
  MachineFacts facts;
  facts.build = this_build();
  facts.host = probe_host(output);
  facts.environment = probe_environment();
  probe_gpus(facts);
  facts.libraries =
      probe_libraries(is_thorough || !facts.gpus.empty() ? milliseconds(10'000) : milliseconds(400));
  return facts;
}

}  // namespace stepvideo::doctor
