// A request that cannot fit is refused before the work.
#pragma once
#include <cstddef>

#include <stepvideo/core/shape.hpp>

namespace stepvideo::pipeline {

/// What a run that the memory could not hold says.
inline constexpr const char* out_of_memory = "out of memory; a smaller video or --precision bf16 needs less";

/// Throws RequestError naming the size flags when `bytes`, a lower bound on what `video` needs at once, are
/// more than this machine's memory.
void require_memory(VideoShape video, double bytes);

/// What this machine's memory has room for now.
std::size_t available_memory_bytes();

}  // namespace stepvideo::pipeline
