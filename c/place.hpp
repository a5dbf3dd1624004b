// Where tensors and handles of a call lie.
#pragma once
#include <optional>
#include <string>

namespace stepvideo::c_abi {

/// No GPU is the CPU.
struct Place {
  std::optional<int> gpu{};

  friend bool operator==(Place, Place) = default;
};

inline std::string to_string(Place place) {
  return place.gpu ? "GPU " + std::to_string(*place.gpu) : "the CPU";
}

/// What the current GPU is to handles that are made now; units of CUDA alone.
Place current_place();

/// Throws RequestError unless the GPU can read `data`, the memory of the tensor `name`; units of CUDA alone.
void require_memory_of_gpu(const char* call, const char* name, const void* data, int gpu);

}  // namespace stepvideo::c_abi
