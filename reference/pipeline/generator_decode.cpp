// Latents become videos: each on all ranks, or, of a batch, each on one of them.
#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "interrupt.hpp"
#include "io/manifest.hpp"
#include "last_words.hpp"
#include "pipeline/generator_work.hpp"
#include "pipeline/process_ranks.hpp"

namespace stepvideo::pipeline {

namespace fs = std::filesystem;

void Generator::decode(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const {
  std::vector<Job*> due;
  for (Job& job : jobs)
    if (is_open(job)) due.push_back(&job);
  if (due.empty()) return;
  if (options.ranks.decoders > 1 || process_ranks() != nullptr)
    for (Job* const job : due) keep_for_others(*job);
  if (decodes_whole_videos(due, options)) return decode_on_processes(jobs, due, options, progress);
  std::unique_ptr<VideoCodec::Decoder> decoder;
  try {
    tell_cost(due, options, progress,
              [&] { decoder = codec_.load_decoder(options.vae, progress, options.ranks); });
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& failure) {
    for (Job* const job : due) job->failure = with_remedy(failure, model_, *job);
    return;
  }
  for (Job* const job : due) {
    if (jobs.size() > 1) progress.tell(job->output.string());
    try {
      const LastWords last_words([&](const std::string&) {
        return job->steps_kept == job->steps_done ? remedy_of(model_, *job) : std::string();
      });
      decode_one(*decoder, *job, options, progress);
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& failure) {
      job->failure = with_remedy(failure, model_, *job);
      continue;
    }
    attempt(*job, [&] {
      if (options.when_made) options.when_made(*job);
      clear_away(*job, options);
    });
  }
}

bool Generator::decodes_whole_videos(const std::vector<Job*>& due, const RunOptions& options) {
  const int ranks = options.ranks.decoders;
  if (process_ranks() == nullptr || ranks == 1) return false;
  int most = 0, shared_turns = 0;
  for (const Job* const job : due) {
    const int chunks = job->request.video.chunks();
    most = std::max(most, chunks);
    shared_turns += (chunks + ranks - 1) / ranks;
  }
  return (static_cast<int>(due.size()) + ranks - 1) / ranks * most < shared_turns;
}

/// A job's step file takes it, with what is told of it so far, to the rank that decodes it.
void Generator::decode_on_processes(const std::vector<Job>& jobs, const std::vector<Job*>& due,
                                    const RunOptions& options, Progress& progress) const {
  std::vector<Job*> ready;
  for (Job* const job : due) {
    attempt(*job, [&] {
      const fs::path file = step_file_of(job->output);
      write_step_file(file, job->manifest, job->steps_done, *job->latents, read_conditioning(file));
    });
    if (is_open(*job)) ready.push_back(job);
  }
  const Groups groups{std::min(options.ranks.decoders, static_cast<int>(ready.size())), 1, true};
  const auto dealt =
      process_ranks()->deal(numbers_of(ready, jobs), groups, video_decoder(jobs, options), progress);
  for (std::size_t i = 0; i < ready.size(); ++i) {
    Job& job = *ready[i];
    job.is_done = !dealt[i].failure;
    if (job.is_done) job.latents.reset();
    if (!job.is_done) try {
        std::rethrow_exception(dealt[i].failure);
      } catch (const std::exception& failure) {
        job.failure = with_remedy(failure, model_, job);
      }
  }
}

LoadReplica Generator::video_decoder(const std::vector<Job>& jobs, const RunOptions& options) const {
  return [this, &jobs, options](Progress& progress, const std::function<void()>& meanwhile) {
    const std::shared_ptr<VideoCodec::Decoder> decoder =
        codec_.load_decoder_of_one(options.vae, options.ranks.decoders, progress);
    return [this, &jobs, options, meanwhile, decoder, &progress](std::size_t number) {
      meanwhile();  // rank 0 deals before it decodes itself
      SavedRun saved = read_step_file(step_file_of(jobs[number].output));
      Job job{.request = jobs[number].request, .output = jobs[number].output, .manifest = saved.manifest};
      job.manifest.erase("step");
      take_over(job, std::move(saved));
      progress.tell(job.output.string());
      decode_one(*decoder, job, options, progress);
      clear_away(job, options);
      return std::string();
    };
  };
}

void Generator::decode_one(VideoCodec::Decoder& decoder, Job& job, const RunOptions& options,
                           Progress& progress) const {
  const std::size_t begin = progress.stages().size();
  const auto manifest = [&] {
    if (options.tells_cost) add_stages(job.manifest, progress, begin);
    return io::manifest_text(job.manifest);
  };
  io::VideoOptions video = options.video;
  video.manifest = manifest;
  decoder.decode(*job.latents, job.output, video, progress);
  job.is_done = true;
}

void Generator::clear_away(Job& job, const RunOptions& options) {
  if (options.keeps_latents) {
    io::Json manifest = job.manifest;
    manifest["step"] = job.steps_done;
    try {
      write_latents(latents_file_of(job.output), *job.latents, {{"manifest", io::manifest_text(manifest)}});
    } catch (const Error& error) {
      throw Error(fmt::format(
          "{} is there, but not its latents: {}{}", job.output.string(), error.what(),
          job.steps_kept == job.steps_done ? "; " + step_file_of(job.output).string() + " holds them" : ""));
    }
  }
  job.latents.reset();
  std::error_code unused;  // the output is there: what is left of the work is in nobody's way
  fs::remove(step_file_of(job.output), unused);
}

}  // namespace stepvideo::pipeline
