// A GPU in use: its streams and the plans of its matrix products.
#pragma once
#include <stepvideo/core/gpu.cuh>
#include <stepvideo/kernels/linear/matmul_plans.cuh>

#include "io/pinned_slots.cuh"
#include "io/upload.hpp"
#include "plan/matmul_table.hpp"

namespace stepvideo::place {

/// Opened once; every buffer on its streams must end before it does.
struct Accelerator {
  Gpu gpu;
  MatmulPlans matmuls;
  std::uint64_t own_bytes = 0;  ///< of the GPU's memory, what opening it took: context and libraries

  explicit Accelerator(int ordinal) : gpu(ordinal), matmuls(gpu.compute(), plan::built_in_matmul_rows()) {
    gpu.use(matmuls);
  }

  /// What kernels are given.
  Device compute() const { return gpu.compute(); }
};

/// How files come to the current GPU: pinned memory and the ring over it, for as long as a model loads.
struct UploadPath {
  io::PinnedSlots slots;
  io::UploadRing ring{slots};
};

}  // namespace stepvideo::place
