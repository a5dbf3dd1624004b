// The cost model's predictions under the names of the executor's stages.
#pragma once
#include <map>
#include <string>

#include "place/place.hpp"
#include "plan/cost_model.hpp"
#include "progress.hpp"

namespace stepvideo::trace {

/// Seconds by stage, for one rank: "denoise" and "decode". Stages that load depend on the disk and the text
/// encoders' on the prompt's tokens, which the cost model does not know.
std::map<std::string, double> expected_stage_seconds(const plan::Cost& cost);

/// What a run is, for its event logs.
RunFacts run_facts(VideoShape video, int steps, const std::string& precision, const plan::Cost& cost);

/// Writes into the run's event log what the run is and what its stages are expected to take.
void tell_run(Progress& progress, VideoShape video, int steps, const std::string& precision,
              const plan::Cost& cost);

/// The request on this machine's processor, or on its GPU. Throws RequestError as the cost model does.
plan::Request request_here(const place::Place& place, const std::filesystem::path& model, VideoShape video,
                           int steps, plan::Arithmetic arithmetic);

}  // namespace stepvideo::trace
