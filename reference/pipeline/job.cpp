#include "pipeline/job.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "io/printable.hpp"
#include "io/video.hpp"

namespace stepvideo::pipeline {
namespace {

namespace fs = std::filesystem;

/// The command that makes the job's output from its latents.
std::string decode_command(const ModelSource& model, const Job& job) {
  std::string command = "stepvideo decode";
  if (!model.folder.empty()) command += " --model " + io::in_shell(model.folder.string());
  if (model.seed) command += fmt::format(" --weights random:{}", *model.seed);
  command += fmt::format(" --latents {} --output {}{}", io::in_shell(step_file_of(job.output).string()),
                         io::in_shell(job.output.string()),
                         job.request.numerics.precision != Precision::fp32 ? " --precision bf16" : "");
  for (const auto& [field, flag] : {std::pair{"fps", "fps"},
                                    {"chroma", "chroma"},
                                    {"crop", "crop"},
                                    {"vae_memory", "vae-memory"},
                                    {"vae_precision", "vae-precision"}})
    if (job.manifest.contains(field))
      command += fmt::format(" --{} {}", flag, job.manifest[field].get<std::string>());
  if (job.manifest.contains("denoise")) command += " --denoise";
  return command;
}

}  // namespace

void take_over(Job& job, SavedRun saved) {
  job.steps_done = job.steps_kept = saved.steps_done;
  job.conditioning = std::move(saved.conditioning);
  job.latents = std::move(saved.latents);
}

void keep_last(Job& job) {
  if (job.steps_kept == job.steps_done) return;
  write_step_file(step_file_of(job.output), job.manifest, job.steps_done, *job.latents, *job.conditioning);
  job.steps_kept = job.steps_done;
}

void keep_for_others(Job& job) {
  try {
    keep_last(job);
  } catch (const std::exception&) {
    // From memory, then.
  }
}

namespace {

/// Whether the decoder computed in anything that overflows before float32 does.
bool decodes_in_less_than_float32(const Job& job) {
  const io::Json own = job.manifest.value("vae_precision", io::Json());
  return own.is_string() ? own != "fp32" : job.request.numerics.precision != Precision::fp32;
}

/// A video of NaN: to decode its latents in the same way gives the same again.
std::exception_ptr of_non_finite_video(const std::exception& failure, const ModelSource& model, Job& job) {
  if (decodes_in_less_than_float32(job)) {
    job.manifest["vae_precision"] = "fp32";
    return std::make_exception_ptr(
        Error(fmt::format("{}; the latents are there, and float32 may hold what their decoding makes: {}",
                          failure.what(), decode_command(model, job))));
  }
  float largest = 0;
  for (const float value : job.latents->values) largest = std::max(largest, std::abs(value));
  std::error_code unused;
  fs::remove(step_file_of(job.output), unused);  // nothing can be made of it
  return std::make_exception_ptr(Error(
      fmt::format("{}; the latents reach {:.3g}, which is more than the decoder can take: a --cfg-scale "
                  "below {} works",
                  failure.what(), largest, job.request.settings.cfg_scale)));
}

}  // namespace

std::string remedy_of(const ModelSource& model, const Job& job) {
  return "the latents are there, and this finishes the job: " + decode_command(model, job);
}

std::exception_ptr with_remedy(const std::exception& failure, const ModelSource& model, Job& job) {
  const bool is_memory = dynamic_cast<const std::bad_alloc*>(&failure) != nullptr;
  const std::string what = is_memory ? "out of memory while decoding" : failure.what();
  try {
    keep_last(job);
  } catch (const std::exception& lost) {
    return std::make_exception_ptr(
        Error(fmt::format("{}; the latents are lost, too: {}", what, lost.what())));
  }
  if (dynamic_cast<const io::NonFiniteVideo*>(&failure) != nullptr)
    return of_non_finite_video(failure, model, job);
  return std::make_exception_ptr(
      Error(what + "; the latents are there, and once that is mended this finishes the job: " +
            decode_command(model, job)));
}

void say_how_to_go_on(std::vector<Job>& jobs, const Interrupted& interrupt) {
  std::size_t with_work = 0;
  const Job* last = nullptr;
  for (Job& job : jobs) {
    try {
      if (is_open(job) && job.latents && job.steps_done == job.request.settings.steps) keep_last(job);
    } catch (const std::exception&) {
      // What an earlier step left, if anything, stays.
    }
    std::error_code unused;
    if (!job.is_done && !fs::exists(step_file_of(job.output), unused)) continue;
    ++with_work;
    last = &job;
  }
  if (with_work == 0) return;
  const std::string what =
      jobs.size() == 1
          ? holds_work_text(step_file_of(last->output))
          : fmt::format("the work on {} of {} prompts is there, and the same command with --resume goes on",
                        with_work, jobs.size());
  throw Interrupted(fmt::format("interrupted {}; {}", interrupt.where(), what), interrupt.where());
}

std::string say_what_is_there(const std::vector<fs::path>& outputs) {
  if (outputs.size() > 1)
    return "what is done of the prompts is there, and the same command with --resume goes on";
  std::error_code unused;
  const fs::path file = step_file_of(outputs.front());
  return fs::exists(file, unused) ? holds_work_text(file) : "";
}

}  // namespace stepvideo::pipeline
