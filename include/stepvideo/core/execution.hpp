// Where a kernel runs. The execution is the first argument of every kernel, as in Thrust: the same call
// site serves the CPU and the GPU.
#pragma once
#include <concepts>

#include <stepvideo/core/compiler.hpp>

struct CUstream_st;  // what cudaStream_t points to; declared here so that this header needs no CUDA

namespace stepvideo {

class MatmulPlans;  // kernels/linear/matmul_plans.cuh

/// The CPU, with as many OpenMP threads as OpenMP is set to. Results do not depend on their number.
struct Host {};

/// One GPU: the one of `stream`, or the current CUDA device where that is null. Every launch goes to `stream`;
/// nothing synchronises it. Only a linear needs `matmuls`.
struct Device {
  CUstream_st* stream = nullptr;
  MatmulPlans* matmuls = nullptr;
};

inline constexpr Host host{};
inline constexpr Device device{};

template <class E>
concept Execution = std::same_as<E, Host> || std::same_as<E, Device>;

}  // namespace stepvideo
