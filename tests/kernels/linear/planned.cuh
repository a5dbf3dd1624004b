// A Device that has plans for matrix products.
#pragma once
#include <stepvideo/kernels/linear/matmul_plans.cuh>

namespace stepvideo::testing {

/// Plans for the default stream, and the Device that has them.
struct Planned {
  MatmulPlans plans{device};
  Device execution{.matmuls = &plans};
};

}  // namespace stepvideo::testing
