// Carries a conversion out.
#pragma once
#include "commands/convert_plan.hpp"
#include "progress.hpp"

namespace stepvideo::commands {

/// Writes the plan's files piece by piece: memory is a few pieces of 2^20 elements, whatever the tensors take
/// (a strided tensor's storage is mapped while it is read). The output appears when it is whole: a file or a
/// new folder by one rename, files in a folder that exists by one each, the index last. What fails or is
/// killed leaves nothing that can be taken for a checkpoint. Values are rounded to
/// nearest even; F64 goes by way of float. Throws RequestError naming the tensor and element where a finite
/// value is infinite in the new dtype, Error when the disk refuses, Interrupted.
void write_conversion(const ConvertPlan& plan, Progress& progress);

}  // namespace stepvideo::commands
