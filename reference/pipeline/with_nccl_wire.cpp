// Ranks that exchange by NCCL.
#include <stepvideo/comm/nccl_wire.hpp>

#include "pipeline/nccl.hpp"

namespace stepvideo::pipeline {

std::unique_ptr<DeviceWire> make_nccl_wire(RankWords& words, const ExchangeOptions& options) {
  // NCCL reads its environment once: it is opened by whichever rank comes first.
  static const NcclLibrary library = NcclLibrary::open({.path = {}, .buffer_bytes = options.nccl_buffer_bytes});
  return std::make_unique<NcclWire>(library, words, NcclOptions{.ctas = options.nccl_ctas});
}

}  // namespace stepvideo::pipeline
