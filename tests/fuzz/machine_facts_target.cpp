// The recorded facts of a machine, judged.
#include "doctor/diagnosis.hpp"
#include "io/json.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto facts = doctor::machine_facts(io::parse_json(text_of(file), "facts.json"), "facts.json");
  const auto diagnosis = doctor::diagnose(facts, {});
  (void)doctor::to_text(diagnosis, false);
  (void)doctor::to_json(diagnosis, facts).dump();
}

}  // namespace stepvideo::fuzz
