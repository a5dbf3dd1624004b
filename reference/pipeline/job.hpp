// One video of a run, how far it is, and what becomes of its work when something goes wrong.
#pragma once
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <vector>

#include <stepvideo/core/error.hpp>

#include "interrupt.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/latents.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/request.hpp"
#include "pipeline/step_file.hpp"
#include "pipeline/weights.hpp"

namespace stepvideo::pipeline {

/// One video to make, and how far it is.
struct Job {
  Request request;
  std::filesystem::path output;
  io::Json manifest = {};  ///< of the output; Generator::run() adds what the stages took
  /// Where an earlier run left off; a run fills them as it goes.
  int steps_done = 0;
  int steps_kept = 0;  ///< those that the step file's latents have behind them
  std::optional<Conditioning> conditioning = {};
  std::optional<Latents> latents = {};
  bool is_done = false;
  /// What did not work, once the run is over: why there is no output, or no latents to keep beside it.
  std::exception_ptr failure = {};
};

inline bool is_open(const Job& job) {
  return !job.is_done && !job.failure;
}

/// Runs `work` for one job of several: what it throws is the job's own, but for an interrupt.
template <class Work>
void attempt(Job& job, Work&& work) {
  try {
    work();
  } catch (const Interrupted&) {
    throw;
  } catch (const std::bad_alloc&) {
    job.failure = std::make_exception_ptr(Error(out_of_memory));
  } catch (const std::exception&) {
    job.failure = std::current_exception();
  }
}

/// Goes on from what a step file holds.
void take_over(Job& job, SavedRun saved);

/// Sees to it that the step file holds the latents of all steps. Throws Error when the disk refuses.
void keep_last(Job& job);
/// The same before ranks decode together, any of which may end the process: --resume goes on from the
/// latents. Where the disk refuses, what is decoded from memory now may be all there will be.
void keep_for_others(Job& job);

/// The command that makes the job's output from the latents in its step file, as a part of a sentence.
std::string remedy_of(const ModelSource& model, const Job& job);
/// The failure of a decode, with the command that finishes the job, where the latents are there for it.
std::exception_ptr with_remedy(const std::exception& failure, const ModelSource& model, Job& job);

/// Throws an Interrupted that says how to go on, where some work of the interrupted jobs is there.
void say_how_to_go_on(std::vector<Job>& jobs, const Interrupted& interrupt);
/// The same where the jobs' own thread goes on meanwhile: what their files tell.
std::string say_what_is_there(const std::vector<std::filesystem::path>& outputs);

}  // namespace stepvideo::pipeline
