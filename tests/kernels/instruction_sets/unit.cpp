// Compiled once for each instruction set, with STEPVIDEO_UNIT the function's name and STEPVIDEO_UNIT_MARCH
// what -march was.
#include "kernels/instruction_sets/unit.hpp"

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/norm/group_norm.hpp>

namespace stepvideo::testing {

InstructionSetUnit STEPVIDEO_UNIT() {
  return {.name = STEPVIDEO_UNIT_MARCH,
          .vector_floats = simd_floats,
          .linear =
              [](MatrixView<const float> in, MatrixView<const float> weight, MatrixView<float> out) {
                linear(host, in, weight, chain(Activate<GeluTanh>{}, Residual<float>{out}), out);
              },
          .attend =
              [](HeadsView<const float> queries, HeadsView<const float> keys, HeadsView<const float> values,
                 HeadsView<float> out) {
                attention(host, queries, keys, values, FullMask{}, out, AttentionOptions{.scale = 0.25f});
              },
          .normalise =
              [](VideoView<const float> in, VectorView<const float> weight, VectorView<const float> bias,
                 index_t groups, VideoView<float> out) {
                group_norm(host, in, weight, bias, groups, 1e-5f, Activate<Silu>{}, out);
              },
          .convolve =
              [](VideoView<const float> in, VectorView<const float> weight, VectorView<const float> bias,
                 const ConvShape& shape, VideoView<float> out) {
                const Buffer<float> packed(conv_weight_elements(host, shape));
                causal_conv3d(host, in, pack_conv_weight(host, weight, shape, packed.vector()), bias, {},
                              Store{}, out);
              },
          .pack = [](VectorView<const float> weight, const ConvShape& shape,
                     VectorView<float> packed) { return pack_conv_weight(host, weight, shape, packed); },
          .convolve_packed =
              [](VideoView<const float> in, const PackedConvWeight<float, Host>& weight,
                 VectorView<const float> bias,
                 VideoView<float> out) { causal_conv3d(host, in, weight, bias, {}, Store{}, out); },
          .packed_elements = [](const ConvShape& shape) { return conv_weight_elements(host, shape); }};
}

}  // namespace stepvideo::testing
