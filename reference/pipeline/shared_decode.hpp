// A video that several ranks decode: its chunks are dealt out in turns, and rank 0 gets their frames in
// order.
#pragma once
#include <algorithm>
#include <exception>
#include <functional>

#include <omp.h>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/shape.hpp>

#include "interrupt.hpp"
#include "model/seams_on_host.hpp"
#include "pipeline/away.hpp"
#include "pipeline/rank_work.hpp"
#include "pipeline/vae_model.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// How many of `most` ranks decode these latents.
inline int decoders_for(LatentsView<const float> latents, int most) {
  return model::vae::decoders_for(std::max(1, VideoShape::from_latent(latents.shape).chunks()), most);
}

/// One rank's part. In a turn each rank decodes one chunk; rank 0 joins its own and takes the others', one
/// after the other, from where they were decoded, while who has handed over goes on with the next turn.
/// Frames are in the host's memory, wherever they were decoded.
template <Communicator C>
class SharedDecode {
 public:
  /// On each of the first `ranks` ranks of the communicator, with the same latents.
  SharedDecode(C& communicator, VaeChunkDecoder& decoder, LatentsView<const float> latents,
               const io::PixelFormat& format, int ranks)
      : communicator_(communicator),
        decoder_(decoder),
        latents_(latents),
        format_(format),
        ranks_(ranks),
        chunks_(VideoShape::from_latent(latents.shape).chunks()) {}

  /// Ranks that are threads of one process divide so many of OpenMP between those that have a chunk.
  void divide_threads(int threads) { threads_ = threads; }

  /// On rank 0; see model::VaeDecoder::decode(). Where frames cannot be taken the others are told, and leave.
  void lead(const model::OnFrames& on_frames) {
    model::SeamsOnHost seams(format_);
    int taken = 0;
    const auto take = [&](const model::DecodedChunk& chunk) {
      const Away away(communicator_);  // a disk may be slow
      ++taken;
      seams.pass(chunk, on_frames);
    };
    try {
      const model::DecodedChunkRooms rooms{VideoShape::from_latent(latents_.shape), {0, ranks_}, format_};
      Buffer<std::uint8_t> theirs;
      begin_turn(0);
      decoder_.decode_chunks(latents_, {0, ranks_}, format_, [&](const model::DecodedChunk& own) {
        take(own);
        for (int other = 1; other < ranks_ && own.number + other < chunks_; ++other) {
          const int number = own.number + other;
          const index_t bytes = rooms.lay_out(number).memory.size;
          if (theirs.size() < bytes) theirs = Buffer<std::uint8_t>(bytes);
          const model::DecodedChunk chunk = rooms.lay_out(number, theirs.data());
          meet(other);
          communicator_.broadcast(host, pair_with(other), chunk.memory, 1);
          take(chunk);
        }
        begin_turn(own.number + ranks_);
      });
    } catch (const Interrupted&) {
      throw;
    } catch (const RankLost&) {
      throw;
    } catch (...) {
      const std::exception_ptr failure = std::current_exception();
      for (int chunk = taken; chunk < std::min(taken + ranks_, chunks_); ++chunk)
        if (chunk % ranks_ > 0) meet(chunk % ranks_, true);
      std::rethrow_exception(failure);
    }
  }

  /// On another rank, as a stage of its progress.
  void follow(Progress& progress) {
    const int rank = communicator_.rank();
    progress.stage("decode", (chunks_ - rank + ranks_ - 1) / ranks_, [&](Stage& stage) {
      try {
        begin_turn(0);
        decoder_.decode_chunks(latents_, {rank, ranks_}, format_, [&](const model::DecodedChunk& chunk) {
          meet(0);
          communicator_.broadcast(host, pair_with(rank), chunk.memory, 1);
          stage.step();
          begin_turn(chunk.number - rank + ranks_);
        });
      } catch (const GivenUp&) {
        // Rank 0 tells why.
      }
    });
  }

 private:
  struct GivenUp {};

  static Group pair_with(int other) { return {0, other, 2}; }

  /// Rank 0 and another agree to go on, before a chunk goes from one to the other. Throws Interrupted where a
  /// signal came to one of them, and on the other GivenUp where rank 0 takes no more.
  void meet(int other, bool gives_up = false) {
    const int rank = communicator_.rank();
    int signals_and_ends[] = {AgreedInterrupts::signal_came(), gives_up};
    communicator_.all_reduce(host, pair_with(std::max(rank, other)), VectorView<int>{signals_and_ends, 2});
    if (signals_and_ends[1] > 0) {
      if (rank > 0) throw GivenUp{};
      return;
    }
    if (signals_and_ends[0] > 0) AgreedInterrupts::agree();
    throw_if_interrupted("while decoding");
  }

  /// The chunks from `first` on, one for each rank: says where the rank is, and takes its part of the
  /// threads.
  void begin_turn(int first) {
    communicator_.recorder().set_place(first / ranks_ + 1, -1);
    const int busy = std::min(ranks_, chunks_ - first), rank = communicator_.rank();
    if (threads_ > 0 && rank < busy)
      omp_set_num_threads(static_cast<int>(shard_of(std::max(threads_, busy), busy, rank).count));
  }

  C& communicator_;
  VaeChunkDecoder& decoder_;
  LatentsView<const float> latents_;
  io::PixelFormat format_;
  int ranks_, chunks_, threads_ = 0;
};

}  // namespace stepvideo::pipeline
