#include "pipeline/job.hpp"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace stepvideo::pipeline {
namespace {

namespace fs = std::filesystem;

/// As an argument of a shell's command.
std::string quoted(const fs::path& path) {
  std::string text = "'";
  for (const char c : path.string()) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// The command that makes the job's output from its latents.
std::string decode_command(const ModelSource& model, const Job& job) {
  std::string command = "stepvideo decode";
  if (!model.folder.empty()) command += " --model " + quoted(model.folder);
  if (model.seed) command += fmt::format(" --weights random:{}", *model.seed);
  command += fmt::format(" --latents {} --output {}{}", quoted(step_file_of(job.output)), quoted(job.output),
                         job.request.numerics.precision != Precision::fp32 ? " --precision bf16" : "");
  for (const auto& [field, flag] : {std::pair{"fps", "fps"},
                                    {"chroma", "chroma"},
                                    {"vae_memory", "vae-memory"},
                                    {"vae_precision", "vae-precision"}})
    if (job.manifest.contains(field))
      command += fmt::format(" --{} {}", flag, job.manifest[field].get<std::string>());
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
  return std::make_exception_ptr(Error(what + "; " + remedy_of(model, job)));
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
  const std::string holder =
      jobs.size() == 1 ? fmt::format("{} holds the work", step_file_of(last->output).string())
                       : fmt::format("the work on {} of {} prompts is there", with_work, jobs.size());
  throw Interrupted(fmt::format("interrupted {}; {}, and the same command with --resume goes on",
                                interrupt.where(), holder),
                    interrupt.where());
}

}  // namespace stepvideo::pipeline
