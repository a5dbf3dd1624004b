// What of a run was chosen that a default leaves out, said in its summary.
#pragma once
#include <vector>

#include "io/json.hpp"
#include "progress.hpp"

namespace stepvideo::commands {

/// Notes it for the summary: what all the manifests tell alike.
void note_choices(Progress& progress, const std::vector<const io::Json*>& manifests);

}  // namespace stepvideo::commands
