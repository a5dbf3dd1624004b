#include <algorithm>
#include <iostream>
#include <map>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/generate_wishes.hpp"
#include "commands/keep_flags.hpp"
#include "commands/preview_flags.hpp"
#include "commands/provenance.hpp"
#include "commands/session.hpp"
#include "commands/vae_flags.hpp"
#include "commands/video_flags.hpp"
#include "commands/weight_flags.hpp"
#include "io/manifest.hpp"
#include "io/pending_file.hpp"
#include "io/video.hpp"
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

struct Flags {
  Wishes wishes;
  ProvenanceFlags provenance;
  KeepFlags keep;
  PreviewFlags previews;
  VideoFlags video;
  VaeFlags vae;
  WeightFlags weights;
  bool keeps_latents = false;
  fs::path output;
  std::optional<fs::path> prompts, like;
  CommonOptions common;

  /// Returns false when help was asked for.
  bool parse(const Arguments& arguments) {
    FlagParser parser("generate", "a prompt becomes a video, or a file of prompts a folder of videos");
    weights.declare(parser)
        .flag("prompt", wishes.prompt,
              "what the video shows; English or Chinese, empty for no guidance towards anything")
        .flag("negative", wishes.negative, "what it should not show [empty]")
        .flag("prompts", prompts,
              "file with a prompt a line, or a JSON object a line with prompt and its own settings, output "
              "among "
              "them; --output is then a folder")
        .flag("like", like, "repeat the run that made this video, but for the flags given")
        .flag("output", output, io::video_output_help)
        .require("output");
    wishes.sampling.declare(parser);
    video.declare(parser);
    vae.declare(parser);
    keep.declare(parser);
    previews.declare(parser);
    parser.toggle("keep-latents", keeps_latents,
                  "leave the final latents beside the output, as OUTPUT.latents.safetensors");
    provenance.declare(parser);
    parser.on_transformer().on_replicas();
    if (!parser.parse(arguments)) return false;
    common = parser.common_options();
    keep.check();
    require(prompts || common.replicas == 1, [&] {
      return fmt::format("--replicas {} deals prompts, and there is one; --prompts names a file of them",
                         common.replicas);
    });
    require(!prompts || previews.path.empty(), [] {
      return "--preview-path and --prompts are given, and the videos would share the files; one of them "
             "works";
    });
    require(!prompts || (!wishes.prompt && !like), [&] {
      return fmt::format("--prompts and {} are given; one of them works", like ? "--like" : "--prompt");
    });
    return true;
  }
};

/// The file that tells of the run to repeat or to go on with, where the flags name one.
std::optional<fs::path> base_file(const Flags& flags) {
  std::error_code unused;
  if (flags.like) return flags.like;
  const fs::path steps = pipeline::step_file_of(flags.output);
  if (flags.prompts || !flags.keep.resumes) return {};
  if (fs::exists(steps, unused)) return steps;
  if (!flags.wishes.prompt && fs::exists(flags.output, unused)) return flags.output;
  return {};
}

/// The model that the flags name, or else that of the run to repeat.
pipeline::ModelSource model_of(Flags& flags, const std::optional<Json>& base) {
  if (flags.common.model.empty() && base) {
    flags.weights.take_missing(*base);
    const Json model = base->value("model", Json::object());
    const bool tells_folder = model.is_object() && model.value("path", Json()).is_string();
    require(tells_folder || flags.weights.weights, [] {
      return "--model is missing, and the manifest does not tell where it was; give its folder";
    });
    if (tells_folder) flags.common.model = model["path"].get<std::string>();
  }
  return flags.weights.source(flags.common, "generate");
}

/// --like with another model than the one of the manifest: refused where the model was to be the same, said
/// where another was asked for.
void compare_models(const Flags& flags, bool has_model, const Json& mine, const Json& base) {
  const auto model_alone = [](const Json& manifest) {
    return Json{{"model", manifest.value("model", Json())}, {"weights", manifest.value("weights", Json())}};
  };
  const std::string component = pipeline::differing_field(model_alone(mine), model_alone(base));
  if (component.empty()) return;
  const std::string what =
      fmt::format("--like: the {} of {} {} not what made {}", component,
                  flags.common.model.empty() ? "the release's shapes" : flags.common.model.string(),
                  component == "weights" ? "are" : "is", flags.like->string());
  require(has_model, [&] {
    return what +
           "; put that one back, or name this one with --model to see what it makes of the same request";
  });
  if (!flags.common.is_quiet) std::cerr << what << "; the video will differ\n";
}

/// The jobs, none of them begun; everything that can be refused without the model is refused here.
std::vector<Job> read_jobs(const Flags& flags, const std::optional<pipeline::Request>& base,
                           std::vector<std::string>& names) {
  std::vector<Job> jobs;
  if (!flags.prompts) {
    io::require_video_output("--output", flags.output);
    jobs.push_back(
        {.request = complete(flags.wishes, base, flags.common.model, flags.common), .output = flags.output});
    names.push_back("--output");
    return jobs;
  }
  const auto lines = read_prompts(*flags.prompts);
  const std::size_t digits = std::max<std::size_t>(3, std::to_string(lines.size()).size());
  // The folder may be there or be made: then what is true of the folder it will lie in is true of it.
  std::error_code unused;
  const bool is_there = fs::is_directory(flags.output, unused);
  require(is_there || !fs::exists(flags.output, unused), [&] {
    return fmt::format("--output: {} is a file; with --prompts the videos come into a folder",
                       flags.output.string());
  });
  const fs::path folder =
      is_there ? flags.output : fs::absolute(flags.output / "").parent_path().parent_path();
  std::map<fs::path, std::string> owners;
  for (const PromptLine& line : lines) {
    const std::string where = fmt::format("{} line {}", flags.prompts->string(), line.number);
    const std::string name =
        line.output.empty() ? fmt::format("{:0{}}.mp4", jobs.size() + 1, digits) : line.output;
    const auto [owner, is_new] = owners.try_emplace(name, where);
    require(is_new, [&] {
      return fmt::format("{}: output {} is that of {}, too; each needs its own", where, io::in_quotes(name),
                         owner->second);
    });
    try {
      io::require_video_output("--output", folder / name);
      jobs.push_back(
          {.request = complete(line.wishes.over(flags.wishes), {}, flags.common.model, flags.common),
           .output = flags.output / name});
    } catch (const RequestError& error) {
      throw RequestError(where + ": " + error.what());
    }
    names.push_back(where);
  }
  return jobs;
}

/// Calls `work(job)` for each; what it refuses is said with the prompt's line.
template <class Work>
void for_each_job(std::vector<Job>& jobs, const std::vector<std::string>& names, const Flags& flags,
                  Work&& work) {
  for (std::size_t i = 0; i < jobs.size(); ++i) try {
      work(jobs[i]);
    } catch (const RequestError& error) {
      throw flags.prompts ? RequestError(names[i] + ": " + error.what()) : error;
    }
}

/// What each job's manifest says of its request. The rest of what can be refused before a weight is loaded is
/// refused.
void describe(std::vector<Job>& jobs, const std::vector<std::string>& names, const Flags& flags,
              const pipeline::Generator& generator, const Json& manifest) {
  for_each_job(jobs, names, flags, [&](Job& job) {
    job.manifest = manifest;
    pipeline::put_request(job.manifest, job.request);
    generator.require_possible(job.request, job.output);
  });
}

/// Jobs of an earlier run go on where it stopped.
void take_up(std::vector<Job>& jobs, const std::vector<std::string>& names, const Flags& flags,
             const pipeline::Generator& generator, const pipeline::RunOptions& options) {
  for_each_job(jobs, names, flags, [&](Job& job) {
    if (flags.keep.finds_work(job.output))
      generator.resume(job, options);
    else
      job.is_done = flags.keep.resumes && is_finished(job.output, job.manifest);
  });
}

/// Throws RequestError when the disk cannot hold what the jobs need at once.
void require_disk(const std::vector<Job>& jobs, const Flags& flags, const pipeline::Generator& generator) {
  double bytes = 0;
  for (const Job& job : jobs)
    if (!job.is_done) bytes += generator.disk_bytes(job.request, job.output);
  io::require_free_space("--output", flags.output, bytes);
}

/// What each job is predicted to cost. Throws RequestError naming the line when the memory cannot hold one.
std::vector<plan::Cost> plan_jobs(std::vector<Job>& jobs, const std::vector<std::string>& names,
                                  const Flags& flags, const pipeline::Generator& generator) {
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
                                      .precision = request.numerics.precision,
                                      .vae_memory = vae_settings.memory(),
                                      .is_guided = request.settings.cfg_scale != 1}));
    common.topology = costs.front().topology;  // the transformer is loaded once, for all of them
    // The same layout as the plan's, with what the flags ask for.
    generator.codec().decode_bytes(request.video, vae_settings);
  });
  return costs;
}

/// What previews of the job hold beside its models.
double preview_bytes(const Flags& flags, const pipeline::Generator& generator, const Job& job) {
  VideoShape image = job.request.video;
  image.frames = 1;
  return generator.codec().decode_bytes(image,
                                        flags.vae.settings(flags.common, job.request.numerics.precision));
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
  Flags flags;
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
  const pipeline::PreviewOptions preview = flags.previews.options(flags.common);
  Json manifest = start_manifest("generate", flags.common, jobs.front().request.numerics,
                                 flags.weights.components(components), flags.provenance);
  flags.weights.put(manifest);
  flags.video.put(manifest);
  flags.vae.put(manifest);
  if (flags.like) compare_models(flags, has_model, manifest, *base);
  describe(jobs, names, flags, generator, manifest);
  const auto costs = plan_jobs(jobs, names, flags, generator);
  for (Job& job : jobs) put_topology(job.manifest, costs.front(), flags.provenance);
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
    if (!jobs[i].is_done && jobs[i].steps_done < jobs[i].request.settings.steps)
      place::require_free_memory(
          flags.common.place,
          costs[i].peak_bytes() + (preview.is_on() ? preview_bytes(flags, generator, jobs[i]) : 0));
  if (jobs.size() == 1)
    trace::tell_run(progress, jobs[0].request.video, jobs[0].request.settings.steps,
                    to_string(jobs[0].request.numerics.precision), costs[0]);
  progress.describe({{"output", flags.output.string()}});
  if (preview.is_on())
    options.observer =
        preview_observer(preview, generator.codec(),
                         flags.vae.settings(flags.common, jobs.front().request.numerics.precision), progress);
  generator.run(jobs, options, progress);
  if (!flags.prompts && jobs[0].failure) std::rethrow_exception(jobs[0].failure);
  progress.print_summary();
  report_failures(jobs, names);
}

}  // namespace

void generate(const Arguments& arguments) {
  pipeline::on_processes([&] { generate_on_this_process(arguments); });
}

}  // namespace stepvideo::commands
