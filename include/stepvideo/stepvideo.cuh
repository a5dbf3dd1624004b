// Everything, the GPU's kernels included; needs nvcc.
#pragma once
#include <stepvideo/core/check.cuh>
#include <stepvideo/core/device.cuh>
#include <stepvideo/core/launch.cuh>
#include <stepvideo/kernels/attention/attention.cuh>
#include <stepvideo/kernels/attention/attention_work.cuh>
#include <stepvideo/kernels/attention/fp8_attention.cuh>
#include <stepvideo/kernels/attention/fp8_channel_scales.cuh>
#include <stepvideo/kernels/attention/fp8_epilogue.cuh>
#include <stepvideo/kernels/attention/fp8_mainloop.cuh>
#include <stepvideo/kernels/attention/fp8_pipeline.cuh>
#include <stepvideo/kernels/attention/fp8_softmax.cuh>
#include <stepvideo/kernels/attention/merge.cuh>
#include <stepvideo/kernels/attention/quantize_attention.cuh>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/attention/warp_attention.cuh>
#include <stepvideo/kernels/attention/warp_mainloop.cuh>
#include <stepvideo/kernels/attention/warp_softmax.cuh>
#include <stepvideo/kernels/attention/warp_tile.cuh>
#include <stepvideo/kernels/attention/warpgroup_attention.cuh>
#include <stepvideo/kernels/attention/warpgroup_mainloop.cuh>
#include <stepvideo/kernels/attention/warpgroup_pipeline.cuh>
#include <stepvideo/kernels/elementwise/latents.cuh>
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>
#include <stepvideo/kernels/elementwise/timestep.cuh>
#include <stepvideo/kernels/norm/gated_layer_norm.cuh>
#include <stepvideo/kernels/norm/group_norm.cuh>
#include <stepvideo/kernels/norm/group_norm_tiling.cuh>
#include <stepvideo/kernels/norm/layer_norm.cuh>
#include <stepvideo/kernels/norm/layer_norm_rows.cuh>
#include <stepvideo/kernels/norm/rms_norm.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope_any.cuh>
#include <stepvideo/kernels/rope/qk_row.cuh>
#include <stepvideo/kernels/rope/quantized_qk.cuh>
#include <stepvideo/kernels/rope/rope.cuh>
#include <stepvideo/kernels/sampler/guided_step.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>
#include <stepvideo/kernels/tile/async_copy.cuh>
#include <stepvideo/kernels/tile/barrier.cuh>
#include <stepvideo/kernels/tile/convert_fp8.cuh>
#include <stepvideo/kernels/tile/hadamard.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/pair_words.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>
#include <stepvideo/kernels/tile/schedule.cuh>
#include <stepvideo/kernels/tile/shared_memory.cuh>
#include <stepvideo/kernels/tile/tma.cuh>
#include <stepvideo/kernels/tile/wgmma.cuh>
// nvcc's front end does not know the host compiler's unroll pragmas and passes them on.
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#include <stepvideo/stepvideo.hpp>
#pragma nv_diagnostic pop
