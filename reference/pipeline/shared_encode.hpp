// A video that several ranks encode: its chunks need nothing of each other.
#pragma once
#include <algorithm>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/comm/rank_agreement.hpp>
#include <stepvideo/core/shape.hpp>

#include "interrupt.hpp"
#include "pipeline/vae_model.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// One rank's part, on each of the first `ranks` of the communicator, with the same video: in a turn each
/// encodes a chunk, and rank 0 takes the others' moments into its own. As a stage of the rank's progress.
/// Throws Interrupted where a signal came to one of them.
template <Communicator C>
void encode_part(C& communicator, VaeEncoderModel& encoder, VideoView<const float> video,
                 LatentsView<float> mean, LatentsView<float> log_variance, int ranks, Progress& progress) {
  const int rank = communicator.rank();
  const index_t of_chunk = std::min<index_t>(video.frames, VideoShape::chunk_frames);
  const int chunks = static_cast<int>(video.frames / of_chunk);
  const auto part = [&](LatentsView<float> of_all, int chunk) {
    of_all.shape.frames /= chunks;
    of_all.data += chunk * of_all.size();
    return of_all;
  };
  progress.stage("encode", (chunks - rank + ranks - 1) / ranks, [&](Stage& stage) {
    for (int first = 0; first < chunks; first += ranks) {
      communicator.recorder().set_place(first / ranks + 1, -1);
      if (first + rank < chunks)
        encoder.encode(video.frames_from((first + rank) * of_chunk, of_chunk), part(mean, first + rank),
                       part(log_variance, first + rank));
      for (int other = 1; other < ranks && first + other < chunks; ++other) {
        if (rank != 0 && rank != other) continue;
        const Group pair{0, other, 2};
        if (any_rank_stops(communicator, host, pair, AgreedInterrupts::signal_came()))
          AgreedInterrupts::agree();
        throw_if_interrupted("while encoding");
        for (const auto& of_all : {mean, log_variance}) {
          const LatentsView<float> theirs = part(of_all, first + other);
          communicator.broadcast(host, pair, VectorView<float>{theirs.data, theirs.size()}, 1);
        }
      }
      if (first + rank < chunks) stage.step();
    }
  });
}

}  // namespace stepvideo::pipeline
