// Data files that the build puts into the program, so that an installed program needs no folder beside it.
#pragma once
#include <string_view>
#include <vector>

namespace stepvideo::plan {

struct DataFile {
  std::string_view name, text;
};

/// reference/plan/hardware/*.json and reference/plan/links/*.json, in the order in which messages list them.
const std::vector<DataFile>& hardware_files();
const std::vector<DataFile>& link_files();
/// reference/plan/matmuls/*.json, whatever there are.
const std::vector<DataFile>& matmul_files();

}  // namespace stepvideo::plan
