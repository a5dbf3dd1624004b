// A file that describes a GPU, or a link, and a plan for it.
#include <algorithm>

#include <stepvideo/core/error.hpp>

#include "plan/hardware.hpp"
#include "plan/plan_topology.hpp"
#include "plan/report.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto path = as_file(file).string();
  plan::Request request{.video = {17, 64, 64}, .steps = 4};
  if (text_of(file).find("all_reduce") != std::string_view::npos) {
    request.hardware = plan::load_hardware("h200");
    request.link = plan::load_link(path);
  } else {
    request.hardware = plan::load_hardware(path);
    request.link = plan::load_link("nvlink");
  }
  for (const auto arithmetic : plan::all_arithmetics) {
    if (!request.hardware.rates[static_cast<std::size_t>(arithmetic)]) continue;
    request.arithmetic = arithmetic;
    const auto planned = plan::plan_topology(request, request.hardware.is_host ? 1 : 2);
    (void)plan::to_table(planned);
    (void)plan::to_json(planned).dump();
  }
}

}  // namespace stepvideo::fuzz
