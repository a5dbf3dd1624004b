// Where a conversion writes, and what may be replaced there.
#pragma once
#include <filesystem>

#include "commands/convert_plan.hpp"

namespace stepvideo::commands {

/// Whether the name asks for one file rather than a folder.
bool is_single_file(const std::filesystem::path& output);

/// Throws RequestError naming --output unless it can be written later, as far as its name and what lies there
/// tell. `is_model`: a tree of folders is going to be written.
void require_output(const ConvertRequest& request, bool is_model);

/// Settles where the plan's files are gathered, and leaves out copies that a folder has already. Throws
/// RequestError naming --output where something is there that this conversion did not make, unless the
/// request overwrites; where a folder that is replaced holds what no conversion writes; where the disk has
/// too little space.
void settle_output(const ConvertRequest& request, bool is_model, ConvertPlan& plan);

}  // namespace stepvideo::commands
