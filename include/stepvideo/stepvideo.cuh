// Everything, the GPU's kernels included; needs nvcc.
#pragma once
#include <stepvideo/core/check.cuh>
#include <stepvideo/core/device.cuh>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/norm/rms_norm.cuh>
#include <stepvideo/stepvideo.hpp>
