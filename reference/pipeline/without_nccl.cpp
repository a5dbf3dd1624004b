// A build without NCCL exchanges by copies between the GPUs of one process.
#include <stepvideo/core/error.hpp>

#include "pipeline/nccl.hpp"

namespace stepvideo::pipeline {

std::unique_ptr<DeviceWire> make_nccl_wire(RankWords&, const ExchangeOptions&) {
  throw RequestError(
      "GPUs of several processes exchange by NCCL, and this program was built without it; one process that "
      "has them all works (--gpus N without a launcher), or a build where nccl.h is found "
      "(-DSTEPVIDEO_NCCL)");
}

}  // namespace stepvideo::pipeline
