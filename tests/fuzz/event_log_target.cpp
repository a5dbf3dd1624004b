// An event log, explained; two logs that hold the same are also compared.
#include "target.hpp"
#include "trace/report.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto explained = trace::explain_run({as_file(file)});
  (void)trace::to_text(explained);
  (void)trace::to_json(explained).dump();
  (void)trace::compare_text(explained, explained);
}

}  // namespace stepvideo::fuzz
