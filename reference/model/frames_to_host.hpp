// Decoded chunks on their way to the host.
#pragma once
#include <concepts>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/execution.hpp>

#include "model/decoded_chunk.hpp"

namespace stepvideo::model {

/// For every chunk of a deal, in order, pass(number, is_last, fill, deliver) calls fill(chunk), which gives
/// the execution the work that fills a DecodedChunk, and deliver(chunk) when that is done, at the latest in
/// the call for the last. A GPU's, in frames_to_host.cuh, delivers a chunk while the next one is worked on.
template <Execution E>
class FramesToHost {
  static_assert(std::same_as<E, Host>, "a Device's FramesToHost is in model/frames_to_host.cuh");

 public:
  FramesToHost(Host, const DecodedChunkRooms& rooms)
      : rooms_(rooms), memory_(static_cast<index_t>(rooms.most_bytes())) {}

  template <class Fill, class Deliver>
  void pass(int number, bool /*is_last*/, const Fill& fill, const Deliver& deliver) {
    const DecodedChunk chunk = rooms_.lay_out(number, memory_.data());
    fill(chunk);
    deliver(chunk);
  }

 private:
  DecodedChunkRooms rooms_;
  Buffer<std::uint8_t> memory_;
};

}  // namespace stepvideo::model
