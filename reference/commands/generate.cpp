#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "commands/choices.hpp"
#include "commands/command.hpp"
#include "commands/forecast.hpp"
#include "commands/generate_flags.hpp"
#include "commands/session.hpp"
#include "io/pending_file.hpp"
#include "pipeline/generator.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/process_ranks.hpp"
#include "trace/expectation.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

using io::Json, pipeline::Job;

constexpr std::initializer_list<io::Component> components{io::Component::transformer, io::Component::step_llm,
                                                          io::Component::clip_text_encoder,
                                                          io::Component::clip_tokenizer, io::Component::vae};

/// Calls `work(job)` for each; what it refuses is said with the prompt's line.
template <class Work>
void for_each_job(std::vector<Job>& jobs, const std::vector<std::string>& names, const GenerateFlags& flags,
                  Work&& work) {
  for (std::size_t i = 0; i < jobs.size(); ++i) try {
      work(jobs[i]);
    } catch (const RequestError& error) {
      throw flags.makes_several() ? RequestError(names[i] + ": " + error.what()) : error;
    }
}

/// What each job's manifest says of its request. The rest of what can be refused before a weight is loaded is
/// refused.
void describe(std::vector<Job>& jobs, const std::vector<std::string>& names, const GenerateFlags& flags,
              const pipeline::Generator& generator, const Json& manifest) {
  for_each_job(jobs, names, flags, [&](Job& job) {
    job.manifest = manifest;
    pipeline::put_request(job.manifest, job.request);
    put_prompts(job.manifest, generator.encoder(), job.request);
    generator.require_possible(job.request, job.output, flags.video.options());
  });
}

/// Jobs of an earlier run go on where it stopped.
void take_up(std::vector<Job>& jobs, const std::vector<std::string>& names, const GenerateFlags& flags,
             const pipeline::Generator& generator, const pipeline::RunOptions& options) {
  for_each_job(jobs, names, flags, [&](Job& job) {
    if (flags.keep.finds_work(job.output))
      generator.resume(job, options);
    else
      job.is_done = !flags.own.overwrites && flags.keep.resumes && is_finished(job.output, job.manifest);
    if (!job.is_done) flags.own.require_own(job.output, job.manifest);
  });
}

/// Throws RequestError when the disk cannot hold what the jobs need at once.
void require_disk(const std::vector<Job>& jobs, const GenerateFlags& flags,
                  const pipeline::Generator& generator) {
  double bytes = 0;
  for (const Job& job : jobs)
    if (!job.is_done) bytes += generator.disk_bytes(job.request, job.output);
  io::require_free_space("--output", flags.output, bytes);
}

/// What each job is predicted to cost. Throws RequestError naming the line when the memory cannot hold one.
std::vector<plan::Cost> plan_jobs(std::vector<Job>& jobs, const std::vector<std::string>& names,
                                  const GenerateFlags& flags, const pipeline::Generator& generator) {
  const auto shapes =
      flags.common.model.empty() ? plan::ModelShapes{} : plan::ModelShapes::of(flags.common.model);
  CommonOptions common = flags.common;
  std::vector<plan::Cost> costs;
  for_each_job(jobs, names, flags, [&](const Job& job) {
    const pipeline::Request& request = job.request;
    const auto vae_settings = flags.vae.settings(flags.common, request.numerics.precision);
    costs.push_back(plan_run(common, {.shapes = shapes,
                                      .video = request.video,
                                      .steps = request.settings.steps,
                                      .numerics = request.numerics,
                                      .vae_memory = vae_settings.memory(),
                                      .is_guided = request.settings.cfg_scale != 1}));
    common.topology = costs.front().topology;  // the transformer is loaded once, for all of them
    // The same layout as the plan's, with what the flags ask for.
    generator.codec().decode_bytes(request.video, vae_settings);
  });
  return costs;
}

/// What previews of the job hold beside its models.
double preview_bytes(const GenerateFlags& flags, const pipeline::Generator& generator, const Job& job) {
  VideoShape image = job.request.video;
  image.frames = 1;
  return generator.codec().decode_bytes(image,
                                        flags.vae.settings(flags.common, job.request.numerics.precision));
}

/// What is left of all jobs, whose replicas go on at the same time.
Forecast forecast_of(const std::vector<Job>& jobs, const std::vector<plan::Cost>& costs, int replicas) {
  const auto is_due = [](const Job& job) { return !job.is_done; };
  const auto due = std::ranges::count_if(jobs, is_due);
  const Job& first = *std::ranges::find_if(jobs, is_due);
  Forecast forecast;
  forecast.what = due == 1 ? fmt::format("{}, {} steps", to_string(first.request.video),
                                         first.request.settings.steps - first.steps_done)
                           : fmt::format("{} videos", due);
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (is_due(jobs[i])) forecast.add(costs[i], jobs[i].steps_done);
  forecast.seconds /= replicas;
  return forecast;
}

/// How the job that a run is compared with is made.
pipeline::RunOptions options_beside(const pipeline::RunOptions& options, const GenerateFlags& flags,
                                    const Job& reference, const plan::Cost& cost,
                                    const pipeline::Generator& generator) {
  pipeline::RunOptions beside = options;
  beside.vae = flags.vae.settings(flags.common, reference.request.numerics.precision);
  beside.ranks = ranks_of(flags.common, cost, generator.config().layers, {});
  beside.observer = {};
  beside.when_made = {};
  beside.tells_cost = false;
  return beside;
}

pipeline::Latents copy_of(const pipeline::Latents& latents) {
  pipeline::Latents twin{latents.shape, latents.channels, Buffer<float>(latents.size())};
  std::ranges::copy(latents.values, twin.values.begin());
  return twin;
}

/// A run that --stop-after ends shows what it has by then, where nobody asked for more.
pipeline::PreviewOptions previews_of(const GenerateFlags& flags, const Job& job, const Progress& progress) {
  pipeline::PreviewOptions previews = flags.previews.options(flags.common);
  if (previews.is_on() || !flags.keep.stop_after) return previews;
  return {.in_terminal = progress.can_draw(),
          .every = job.steps_done + *flags.keep.stop_after,
          .path = pipeline::preview_file_of(job.output)};
}

/// Throws one Error that lists the jobs that failed, where some did.
void report_failures(const std::vector<Job>& jobs, const std::vector<std::string>& names) {
  std::string list;
  std::size_t count = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!jobs[i].failure) continue;
    ++count;
    try {
      std::rethrow_exception(jobs[i].failure);
    } catch (const std::exception& error) {
      list += fmt::format("\n  {}, {}: {}", names[i], jobs[i].output.string(), error.what());
    }
  }
  if (count > 0) throw Error(fmt::format("{} of {} prompts failed:{}", count, jobs.size(), list));
}

void generate_on_this_process(const Arguments& arguments) {
  GenerateFlags flags;
  if (!flags.parse(arguments)) return;
  const auto file = base_file(flags);
  std::optional<Json> base;
  if (file) base = generate_manifest_of(*file, flags.like ? "--like" : "--resume");
  const bool has_model = !flags.common.model.empty() || flags.weights.weights;
  const pipeline::ModelSource model = model_of(flags, base);
  std::optional<pipeline::Request> base_request;
  if (base) base_request = pipeline::request_of(*base, file->string());
  std::vector<std::string> names;
  auto jobs = read_jobs(flags, base_request, names);

  const pipeline::Generator generator(model);
  pipeline::RunOptions options{.place = flags.common.place,
                               .keep_every = flags.keep.every,
                               .keeps_latents = flags.keeps_latents,
                               .tells_cost = !flags.provenance.is_reproducible};
  if (base) {
    flags.video.take_missing(*base);
    flags.vae.take_missing(*base);
  }
  options.video = flags.video.options();
  options.vae = flags.vae.settings(flags.common, jobs.front().request.numerics.precision);
  flags.previews.options(flags.common);  // refused here
  Json manifest = start_manifest("generate", flags.common, jobs.front().request.numerics,
                                 flags.weights.components(components), flags.provenance);
  flags.weights.put(manifest);
  flags.video.put(manifest);
  flags.vae.put(manifest);
  if (flags.like) compare_models(flags, has_model, manifest, *base);
  describe(jobs, names, flags, generator, manifest);
  const auto costs = plan_jobs(jobs, names, flags, generator);
  for (Job& job : jobs) put_topology(job.manifest, costs.front(), flags.provenance);
  auto reference = flags.comparison.reference_of(jobs, flags.common, generator, options.vae);
  std::vector<plan::Cost> reference_costs;
  if (!reference.empty()) reference_costs = plan_jobs(reference, names, flags, generator);
  options.ranks = ranks_of(flags.common, costs.front(), generator.config().layers,
                           trace::run_facts(jobs[0].request.video, jobs[0].request.settings.steps,
                                            to_string(jobs[0].request.numerics.precision), costs[0]));
  std::vector<plan::PhaseCost> decodes;
  for (const Job& job : jobs)
    decodes.push_back(plan_decode(flags.common, job.request.video, options.vae, generator.codec().config()));
  if (jobs.size() > 1 && pipeline::process_ranks() != nullptr) {
    // Ranks that one video leaves idle decode others.
    VideoShape all = jobs.front().request.video;
    all.frames = 0;
    for (const Job& job : jobs) all.frames += job.request.video.chunks() * VideoShape::chunk_frames;
    decodes.push_back(plan_decode(flags.common, all, options.vae, generator.codec().config()));
  }
  set_decoders(options.ranks, decodes);
  options.replicas = flags.common.replicas;
  std::vector<const Json*> manifests;
  std::vector<fs::path> outputs;
  for (const Job& job : jobs) manifests.push_back(&job.manifest), outputs.push_back(job.output);
  agree_on(flags.common, manifests, costs.front().topology, outputs);
  if (is_follower()) return pipeline::process_ranks()->follow(generator.shared(jobs, options), options.ranks);
  take_up(jobs, names, flags, generator, options);
  require_disk(jobs, flags, generator);
  if (flags.prompts) fs::create_directory(flags.output);

  Progress progress = start_progress(flags.common);
  if (std::ranges::all_of(jobs, &Job::is_done))
    return progress.tell(flags.output.string() + " is there already, made by the same request and model");
  tell_place(progress, flags.common);
  tell_decoders(progress, flags.common, options.ranks, decodes);
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (!jobs[i].is_done && !jobs[i].conditioning)
      if (flags.prompts || i == 0)
        tell_cut_prompts(progress, jobs[i].manifest, flags.prompts ? names[i] : "");
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (flags.drawn[i])
      tell_drawn_seed(progress, jobs[i].request.seed, flags.makes_several() ? jobs[i].output.string() : "");
  for (const Job& job : jobs)
    if (!job.is_done) tell_untrained_size(progress, flags.common.model, job.request.video);
  Forecast forecast = forecast_of(jobs, costs, flags.common.replicas);
  for (const plan::Cost& cost : reference_costs) forecast.add(cost, 0);
  tell_forecast(progress, flags.common, forecast, flags.keep.is_confirmed);
  const pipeline::PreviewOptions preview = previews_of(flags, jobs.front(), progress);
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (!jobs[i].is_done && jobs[i].steps_done < jobs[i].request.settings.steps)
      place::require_free_memory(
          flags.common.place,
          costs[i].peak_bytes() + (preview.is_on() ? preview_bytes(flags, generator, jobs[i]) : 0));
  for (const plan::Cost& cost : reference_costs)
    place::require_free_memory(flags.common.place, cost.peak_bytes());
  if (jobs.size() == 1)
    trace::tell_run(progress, jobs[0].request.video, jobs[0].request.settings.steps,
                    to_string(jobs[0].request.numerics.precision), costs[0]);
  progress.describe({{"output", (flags.prompts ? flags.output : jobs.front().output).string()}});
  note_choices(progress, manifests);
  if (preview.is_on())
    options.observer =
        preview_observer(preview, generator.codec(),
                         flags.vae.settings(flags.common, jobs.front().request.numerics.precision), progress);
  if (!flags.makes_several())
    options.observer =
        flags.keep.stopping(options.observer, jobs[0].steps_done, jobs[0].request.settings.steps);
  std::optional<pipeline::Latents> made;
  if (!reference.empty()) options.when_made = [&](const Job& job) { made = copy_of(*job.latents); };
  flags.keep.run(progress, flags.output, [&] { generator.run(jobs, options, progress); });
  if (!flags.makes_several() && jobs[0].failure) std::rethrow_exception(jobs[0].failure);
  std::string compared;
  if (made)
    compared = flags.comparison.compare(
        reference, *made, options.vae, generator,
        options_beside(options, flags, reference.front(), reference_costs.front(), generator), progress);
  progress.print_summary();
  if (!compared.empty()) fmt::print("{}\n", compared);
  if (!flags.prompts)
    for (const Job& job : jobs)
      if (!job.failure)
        tell_video(progress, job.output, options.video.of(job.request.video), options.video.rate,
                   job.request.seed);
  report_failures(jobs, names);
  if (flags.prompts) progress.tell(fmt::format("{} videos are in {}", jobs.size(), flags.output.string()));
}

}  // namespace

void generate(const Arguments& arguments) {
  pipeline::on_processes([&] { generate_on_this_process(arguments); });
}

}  // namespace stepvideo::commands
