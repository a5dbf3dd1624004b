// NCCL, where this program was built with it.
#pragma once
#include <memory>

#include <stepvideo/comm/device_wire.hpp>
#include <stepvideo/comm/rank_words.hpp>

#include "pipeline/ranks.hpp"

namespace stepvideo::pipeline {

/// The rank's wire over NCCL, which is looked for now; the words outlive it. Throws RequestError where the
/// program was built without, or the loader finds none that serves.
std::unique_ptr<DeviceWire> make_nccl_wire(RankWords& words, const ExchangeOptions& options);

}  // namespace stepvideo::pipeline
