// A request that cannot fit is refused before the work.
#pragma once
#include <cstddef>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/shape.hpp>

namespace stepvideo::pipeline {

/// What a run that the memory could not hold says.
inline constexpr const char* out_of_memory =
    "out of memory; a smaller video needs less, and so does bf16 where the precision is fp32";

/// Throws RequestError naming the size flags when `bytes`, a lower bound on what `video` needs at once, are
/// more than this machine's memory.
void require_memory(VideoShape video, double bytes);

/// What the memory of the execution has room for now: this machine's, or the GPU's (pipeline/pace.cuh has
/// that).
std::size_t available_memory_bytes(Host);

}  // namespace stepvideo::pipeline
