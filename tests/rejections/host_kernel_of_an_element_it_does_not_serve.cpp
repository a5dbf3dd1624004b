// quotes: HostElement
#include <stepvideo/kernels/linear/linear.hpp>
using namespace stepvideo;
#ifdef RULE_KEPT
using Stored = bf16;
#else
using Stored = fp16;
#endif
void multiply(MatrixView<const Stored> in, MatrixView<const Stored> weight, MatrixView<Stored> out) {
  linear(host, in, weight, Store{}, out);
}
