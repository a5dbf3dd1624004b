// quotes: PackedConvWeight
#include <stepvideo/kernels/conv/conv_weight.hpp>
using namespace stepvideo;
PackedConvWeight<float, Host> view(const ConvShape& shape, const ConvWeightOrder& order, const float* data) {
#ifdef RULE_KEPT
  return {shape, order, data};
#else
  static_cast<void>(order);
  return {shape, data};
#endif
}
