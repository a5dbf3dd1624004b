// A build without NCCL exchanges by copies between the GPUs of one process.
#include <stepvideo/core/error.hpp>

#include "pipeline/nccl.hpp"

namespace stepvideo::pipeline {

void open_nccl(const ExchangeOptions&, bool) {
  throw RequestError(
      "GPUs of several processes exchange by NCCL, and this program was built without it; one process that "
      "has them all works (--gpus N without a launcher), or a build where nccl.h is found (-DSTEPVIDEO_NCCL)");
}

std::unique_ptr<DeviceWire> make_nccl_wire(RankWords&, const ExchangeOptions&) {
  throw Error("this program was built without NCCL");
}

}  // namespace stepvideo::pipeline
