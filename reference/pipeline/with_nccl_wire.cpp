// Ranks that exchange by NCCL.
#include <optional>

#include <stepvideo/comm/nccl_wire.hpp>

#include "pipeline/nccl.hpp"

namespace stepvideo::pipeline {
namespace {

std::optional<NcclLibrary> the_library;

}  // namespace

void open_nccl(const ExchangeOptions& options, bool is_one_host) {
  if (the_library) return;
  the_library = NcclLibrary::open({.path = {},
                                   .buffer_bytes = options.nccl_buffer_bytes,
                                   .address = is_one_host ? "127.0.0.1" : ""});
}

std::unique_ptr<DeviceWire> make_nccl_wire(RankWords& words, const ExchangeOptions& options) {
  require(the_library.has_value(), "NCCL was not opened before its ranks began");
  return std::make_unique<NcclWire>(*the_library, words, NcclOptions{.ctas = options.nccl_ctas});
}

}  // namespace stepvideo::pipeline
