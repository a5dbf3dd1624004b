// What one rank of several does, a thread or a process.
#pragma once
#include <exception>
#include <memory>
#include <new>

#include <fmt/format.h>

#include <stepvideo/comm/communicator.hpp>

#include "interrupt.hpp"
#include "model/noise_source.hpp"
#include "model/shared_source.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/on_gpu.hpp"
#include "pipeline/placed_transformer.hpp"
#include "pipeline/ranks.hpp"

namespace stepvideo::pipeline {

/// Calls `work`; what it throws on this rank alone says which rank that is.
template <class Work>
void name_failures(int rank, Work&& work) {
  try {
    work();
  } catch (const Interrupted&) {
    throw;
  } catch (const SharedFailure&) {
    throw;
  } catch (const RankLost&) {
    throw;
  } catch (const RequestError&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format("rank {}: {}", rank, out_of_memory));
  } catch (const std::exception& error) {
    throw Error(fmt::format("rank {}: {}", rank, error.what()));
  }
}

/// Loads the rank's part of the transformer, as a stage of `progress`: on the host, or on the GPU that the
/// place is. The communicator, a Recorded one of the host, outlives it.
template <Communicator C>
std::unique_ptr<Denoiser::Loaded> load_part(C& communicator, const place::Place& place,
                                            const GpuRankEnds& ends, Mesh mesh,
                                            const model::TransformerConfig& config, const Weights& weights,
                                            const Numerics& numerics, Progress& progress) {
  return progress.stage("load transformer", 0, [&](Stage& stage) -> std::unique_ptr<Denoiser::Loaded> {
    stage.moved(weights.files.bytes() / static_cast<std::uint64_t>(mesh.ranks()));
    if (place.is_gpu())
      return load_transformer_part_on_gpu(place, ends, mesh, numerics, config, weights, stage);
    return with_element(numerics.precision, [&]<Element T>() {
      return weights.on_host(
          model::expected_tensors(config), false, [&](auto whole) -> std::unique_ptr<Denoiser::Loaded> {
            using Source = model::SharedSource<decltype(whole)>;
            return std::make_unique<PlacedTransformer<T, Host, C>>(
                place, host, config, Source(std::move(whole), config, mesh, communicator.rank()), numerics,
                communicator, mesh);
          });
    });
  });
}

/// One rank's part of what ranks do together: what it throws says which rank that is, a signal shows only
/// once the ranks have agreed on it, and the log gets the collectives.
template <class Work>
void do_part(int rank, FlightLog& flights, Progress& progress, Work&& work) {
  const AgreedInterrupts agreed;
  try {
    name_failures(rank, work);
  } catch (...) {
    flights.write(progress, true);
    throw;
  }
  flights.write(progress);
}

/// The rank's part of an integration, whose latents are its own; its log gets the collectives of each step.
inline void denoise_part(Denoiser::Loaded& transformer, const Integration& run, FlightLog& flights,
                         Progress& progress, const StepObserver& observer) {
  Integration logged = run;
  logged.before_step = [&](int of_rank, int step) {
    flights.write(progress);
    if (run.before_step) run.before_step(of_rank, step);
  };
  transformer.denoise(logged, progress, observer);
}

}  // namespace stepvideo::pipeline
