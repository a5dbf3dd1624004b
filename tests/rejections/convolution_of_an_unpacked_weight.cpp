// quotes: PackedConvWeight
#include <stepvideo/kernels/conv/causal_conv3d.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
using Weight = PackedConvWeight<float, Host>;
#else
using Weight = VectorView<const float>;
#endif
void convolve(VideoView<const float> in, const Weight& weight, VectorView<const float> bias,
              VideoView<float> out) {
  causal_conv3d(host, in, weight, bias, {}, Store{}, out);
}
