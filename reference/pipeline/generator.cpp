#include "pipeline/generator.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "interrupt.hpp"
#include "io/extension.hpp"
#include "io/manifest.hpp"
#include "io/model_folder.hpp"
#include "last_words.hpp"
#include "pipeline/generator_work.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/placed_transformer.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/replicas.hpp"

namespace stepvideo::pipeline {
namespace {

namespace fs = std::filesystem;

/// Failures that are the same wherever the job is done.
bool is_of_job(const std::exception& failure) {
  return dynamic_cast<const SharedFailure*>(&failure) != nullptr ||
         dynamic_cast<const RequestError*>(&failure) != nullptr;
}

/// What each of the ranks of all replicas may take, where they share a host.
std::optional<std::size_t> spare_bytes_of_each(const RunOptions& options) {
  if (options.place.is_gpu()) return options.spare_bytes;  // each looks at its own GPU
  return available_memory_bytes(host) / static_cast<std::size_t>(options.replicas) /
         static_cast<std::size_t>(options.ranks.topology.ranks());
}

}  // namespace

Generator::Generator(const ModelSource& model)
    : model_(model), encoder_(model), denoiser_(model), codec_(model) {
  io::require_known_scheduler(model.folder);
}

void Generator::require_possible(const Request& request, const fs::path& output,
                                 const io::VideoOptions& options) const {
  io::require_video_fits("--output", output, request.video, options);
  denoiser_.require_fits(encoder_.llm_width(), encoder_.clip_width(), request.settings,
                         codec_.latent_channels());
}

SharedModels Generator::shared(const std::vector<Job>& jobs, const RunOptions& options) const {
  SharedModels models = denoiser_.shared(options.place, jobs.front().request.numerics);
  models.load_replica = replica(jobs, options);
  models.load_video_decoder = video_decoder(jobs, options);
  models.load_decoder = codec_.loader(options.vae, options.ranks.decoders);
  return models;
}

double Generator::disk_bytes(const Request& request, const fs::path& output) const {
  const double tokens = static_cast<double>(request.video.latent().tokens());
  const double states =
      2.0 * (encoder_.llm_tokens() * encoder_.llm_width() + encoder_.clip_tokens() * encoder_.clip_width());
  const double step_file = sizeof(float) * (tokens * denoiser_.config().in_channels + states);
  const auto& [frames, height, width] = request.video;
  const double video =
      io::extension_of(output) == ".safetensors" ? 3.0 * sizeof(float) * frames * height * width : 0;
  return 2 * step_file + video;  // a step file is replaced by the next only when that is whole
}

void Generator::resume(Job& job, const RunOptions& options) const {
  const fs::path file = step_file_of(job.output);
  SavedRun saved = read_step_file(file);
  require_same_run(job.manifest, saved.manifest, file.string());
  put_earlier_devices(job.manifest, saved.manifest);
  saved.require_size(job.request.video.latent(), denoiser_.config().in_channels);
  Denoiser::require_guided_pair(saved.conditioning);
  denoiser_.require_fits(saved.conditioning.llm_width, saved.conditioning.clip_width, job.request.settings,
                         saved.latents.channels);
  if (options.tells_cost) {
    if (saved.manifest.contains("stages")) job.manifest["stages"] = saved.manifest["stages"];
    job.manifest["resumed_after_step"] = saved.steps_done;
  }
  take_over(job, std::move(saved));
}

void Generator::run(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const {
  std::vector<fs::path> outputs;
  for (const Job& job : jobs) outputs.push_back(job.output);
  const LastWords last_words(
      [outputs = std::move(outputs)](const std::string&) { return say_what_is_there(outputs); });
  try {
    encode(jobs, options, progress);
    denoise(jobs, options, progress);
    decode(jobs, options, progress);
  } catch (const Interrupted& interrupt) {
    say_how_to_go_on(jobs, interrupt);
    throw;
  }
}

void Generator::make_latents(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const {
  encode(jobs, options, progress);
  denoise(jobs, options, progress);
}

void Generator::encode(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const {
  std::vector<Job*> due;
  std::vector<std::vector<std::string>> prompts;  // each once
  std::vector<std::size_t> prompt_of;             // of what is due
  for (Job& job : jobs)
    if (is_open(job) && !job.conditioning) {
      due.push_back(&job);
      const std::vector<std::string> texts{job.request.whole_prompt(), job.request.negative};
      prompt_of.push_back(static_cast<std::size_t>(std::ranges::find(prompts, texts) - prompts.begin()));
      if (prompt_of.back() == prompts.size()) prompts.push_back(texts);
    }
  if (due.empty()) return;
  const Precision precision = without_fp8(due.front()->request.numerics.precision);
  try {
    tell_cost(due, options, progress, [&] {
      const auto conditionings = encoder_.encode(prompts, options.place, precision, progress);
      for (std::size_t i = 0; i < due.size(); ++i) due[i]->conditioning = conditionings[prompt_of[i]].copy();
    });
  } catch (const RequestError&) {  // of one prompt: alone, the others can be encoded
    if (due.size() == 1) throw;
    for (std::size_t i = 0; i < due.size(); ++i)
      attempt(*due[i], [&] {
        tell_cost({due[i]}, options, progress, [&] {
          due[i]->conditioning =
              std::move(encoder_.encode({prompts[prompt_of[i]]}, options.place, precision, progress).front());
        });
      });
  }
}

void Generator::denoise(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const {
  std::vector<Job*> due;
  for (Job& job : jobs)
    if (is_open(job) && job.steps_done < job.request.settings.steps) due.push_back(&job);
  if (due.empty()) return;
  if (options.replicas > 1 && process_ranks() != nullptr)
    return denoise_on_processes(jobs, due, options, progress);
  if (options.replicas > 1) return denoise_on_replicas(due, options, progress);
  std::unique_ptr<Denoiser::Loaded> transformer;
  tell_cost(due, options, progress, [&] {
    transformer = denoiser_.load(options.place, due.front()->request.numerics, progress, options.ranks);
  });
  for (Job* const job : due) {
    if (jobs.size() > 1) progress.tell(job->output.string());
    attempt(*job, [&] {
      tell_cost({job}, options, progress, [&] { denoise_one(*transformer, *job, options, progress); });
    });
  }
}

void Generator::denoise_on_replicas(const std::vector<Job*>& due, const RunOptions& options,
                                    Progress& progress) const {
  struct Replica {
    RunOptions options;
    std::optional<Progress> progress;  ///< of one other than 0
    std::unique_ptr<Denoiser::Loaded> transformer;
  };
  std::vector<Replica> replicas(static_cast<std::size_t>(options.replicas));
  for (int number = 0; number < options.replicas; ++number) {
    Replica& replica = replicas[static_cast<std::size_t>(number)];
    replica.options = options;
    replica.options.spare_bytes = spare_bytes_of_each(options);
    const int ranks = static_cast<int>(options.ranks.topology.ranks());
    replica.options.place = options.place.of_ranks(number * ranks, ranks);
    if (number == 0) continue;
    auto& log_file = replica.options.ranks.log_file;
    if (log_file) log_file = replica_log_file_of(*log_file, number);
    replica.options.ranks.logs = std::make_shared<RankLogs>();
    replica.progress.emplace(rank_progress(replica.options.ranks, 0, true));
  }
  const auto failures = deal(
      due.size(), options.replicas,
      [&](int number, std::size_t job) {
        Replica& replica = replicas[static_cast<std::size_t>(number)];
        Progress& own = number > 0 ? *replica.progress : progress;
        if (!replica.transformer)
          replica.transformer = denoiser_.load(replica.options.place, due.front()->request.numerics, own,
                                               replica.options.ranks);
        own.tell(due[job]->output.string());
        tell_cost({due[job]}, options, own,
                  [&] { denoise_one(*replica.transformer, *due[job], replica.options, own); });
      },
      is_of_job);
  for (std::size_t i = 0; i < due.size(); ++i)
    if (failures[i]) attempt(*due[i], [&] { std::rethrow_exception(failures[i]); });
}

/// A job's step file takes it to the group that does it, and back.
void Generator::denoise_on_processes(const std::vector<Job>& jobs, std::vector<Job*> due,
                                     const RunOptions& options, Progress& progress) const {
  for (Job* const job : due)
    attempt(*job, [&] {
      start_from_noise(*job);
      write_step_file(step_file_of(job->output), job->manifest, job->steps_done, *job->latents,
                      *job->conditioning);
    });
  std::erase_if(due, [](const Job* job) { return job->failure != nullptr; });
  const Groups groups{options.replicas, static_cast<int>(options.ranks.topology.ranks())};
  const auto dealt = process_ranks()->deal(numbers_of(due, jobs), groups, replica(jobs, options), progress);
  for (std::size_t i = 0; i < due.size(); ++i)
    attempt(*due[i], [&] {
      if (dealt[i].failure) std::rethrow_exception(dealt[i].failure);
      if (options.tells_cost) due[i]->manifest["stages"] = io::Json::parse(dealt[i].result);
      take_over(*due[i], read_step_file(step_file_of(due[i]->output)));
    });
}

LoadReplica Generator::replica(const std::vector<Job>& jobs, const RunOptions& options) const {
  return [this, &jobs, options](Progress& progress, const std::function<void()>& meanwhile) {
    RunOptions own = options;
    own.spare_bytes = spare_bytes_of_each(options);
    own.before_step = meanwhile;
    const std::shared_ptr<Denoiser::Loaded> transformer =
        denoiser_.load(options.place, jobs.front().request.numerics, progress, options.ranks);
    return [this, &jobs, own, transformer, &progress](std::size_t number) {
      SavedRun saved = read_step_file(step_file_of(jobs[number].output));
      Job job{.request = jobs[number].request, .output = jobs[number].output, .manifest = saved.manifest};
      take_over(job, std::move(saved));
      progress.tell(job.output.string());
      tell_cost({&job}, own, progress, [&] { denoise_one(*transformer, job, own, progress); });
      keep_last(job);
      return job.manifest.value("stages", io::Json::object()).dump();
    };
  };
}

void Generator::start_from_noise(Job& job) const {
  if (!job.latents)
    job.latents = noise_latents(job.request.seed, job.request.video.latent(), denoiser_.config().in_channels,
                                job.request.numerics);
}

void Generator::denoise_one(Denoiser::Loaded& transformer, Job& job, const RunOptions& options,
                            Progress& progress) const {
  const Request& request = job.request;
  start_from_noise(job);
  StepKeeper keeper(step_file_of(job.output), job.manifest, *job.conditioning, options.keep_every,
                    job.steps_done);
  Latents latents{job.latents->shape, job.latents->channels, Buffer<float>(job.latents->size())};
  copy(host, job.latents->values, latents.values);  // another replica may have to begin again
  denoise_and_keep(transformer,
                   {.conditioning = *job.conditioning,
                    .settings = request.settings,
                    .latents = latents,
                    .steps_done = job.steps_done,
                    .spare_bytes = options.spare_bytes,
                    .before_step =
                        [&](int rank, int) {
                          if (rank == 0 && options.before_step) options.before_step();
                        }},
                   keeper, options.observer, progress);
  job.latents = std::move(latents);
  job.steps_done = request.settings.steps;
  job.steps_kept = keeper.step_kept();
  if (job.steps_kept == job.steps_done) job.conditioning.reset();  // else it is needed to keep the latents
}

}  // namespace stepvideo::pipeline
