// What the place of a run gives: the data file of its GPU with the memory that is there.
#pragma once
#include "place/place.hpp"
#include "plan/hardware.hpp"

namespace stepvideo::plan {

/// The processor's file, or the one of the place's GPU; a GPU that no file describes has the rates of the
/// H200 (or, before Hopper, the A100) in proportion to its multiprocessors, and its description says so.
/// Memory is the GPU's own.
Hardware hardware_here(const place::Place& place);

/// The same of a GPU by its facts.
Hardware hardware_of(const place::GpuDescription& gpu);

}  // namespace stepvideo::plan
