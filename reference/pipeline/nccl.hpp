// NCCL, where this program was built with it.
#pragma once
#include <memory>

#include <stepvideo/comm/device_wire.hpp>
#include <stepvideo/comm/rank_words.hpp>

#include "pipeline/ranks.hpp"

namespace stepvideo::pipeline {

/// Looks for NCCL, which reads the environment once: before any rank's thread begins. `is_one_host`: nobody on
/// another host is to reach its sockets. Throws RequestError where the program was built without, Error where
/// the loader finds none that serves.
void open_nccl(const ExchangeOptions& options, bool is_one_host);

/// A rank's wire over the NCCL that was opened; the words outlive it.
std::unique_ptr<DeviceWire> make_nccl_wire(RankWords& words, const ExchangeOptions& options);

}  // namespace stepvideo::pipeline
