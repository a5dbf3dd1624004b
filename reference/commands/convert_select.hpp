// Which tensors a conversion writes, under which names and in which dtypes.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "commands/convert_plan.hpp"

namespace stepvideo::commands {

/// All tensors under their new names. Throws RequestError naming the flag: a regular expression that is none
/// or matches nothing, names that are the same after renaming, nothing that could become fp8, no tensors.
std::map<std::string, ConvertedTensor> select_tensors(const ConvertRequest& request,
                                                      const std::vector<io::StoredTensors>& inputs);

}  // namespace stepvideo::commands
