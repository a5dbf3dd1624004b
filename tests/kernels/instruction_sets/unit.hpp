// One translation unit's kernels, behind pointers: what a program links that is compiled for several CPUs.
#pragma once
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/conv/conv_weight.hpp>

namespace stepvideo::testing {

/// Every kernel as the unit that filled this in was compiled. Elements are float32.
struct InstructionSetUnit {
  const char* name;  ///< as -march= takes it
  int vector_floats;

  void (*linear)(MatrixView<const float> in, MatrixView<const float> weight,
                 MatrixView<float> residual_and_out);
  void (*attend)(HeadsView<const float> queries, HeadsView<const float> keys, HeadsView<const float> values,
                 HeadsView<float> out);
  void (*normalise)(VideoView<const float> in, VectorView<const float> weight, VectorView<const float> bias,
                    index_t groups, VideoView<float> out);
  void (*convolve)(VideoView<const float> in, VectorView<const float> weight, VectorView<const float> bias,
                   const ConvShape& shape, VideoView<float> out);

  /// The same in steps, so that another unit may take the next one.
  PackedConvWeight<float, Host> (*pack)(VectorView<const float> weight, const ConvShape& shape,
                                        VectorView<float> packed);
  void (*convolve_packed)(VideoView<const float> in, const PackedConvWeight<float, Host>& weight,
                          VectorView<const float> bias, VideoView<float> out);
  index_t (*packed_elements)(const ConvShape& shape);
};

InstructionSetUnit unit_of_x86_64();
InstructionSetUnit unit_of_x86_64_v3();
InstructionSetUnit unit_of_x86_64_v4();

}  // namespace stepvideo::testing
