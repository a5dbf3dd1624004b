#include <fmt/format.h>

#include "commands/choices.hpp"
#include "commands/command.hpp"
#include "commands/forecast.hpp"
#include "commands/keep_flags.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/preview_flags.hpp"
#include "commands/provenance.hpp"
#include "commands/sampling_flags.hpp"
#include "commands/session.hpp"
#include "commands/weight_flags.hpp"
#include "io/pending_file.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/process_ranks.hpp"
#include "trace/expectation.hpp"

namespace stepvideo::commands {

namespace fs = std::filesystem;

namespace {

void denoise_on_this_process(const Arguments& arguments) {
  fs::path conditioning_path, output;
  std::optional<fs::path> latents_path;
  SamplingFlags sampling;
  KeepFlags keep;
  PreviewFlags previews;
  ProvenanceFlags provenance;
  OverwriteFlag own;
  WeightFlags weights;
  FlagParser parser("denoise", "noise becomes latents, for given text states");
  weights.declare(parser)
      .flag("conditioning", conditioning_path, "safetensors file that encode-text wrote")
      .flag("latents", latents_path, "start from these latents instead of noise; they bring their own size")
      .flag("output", output, "safetensors file to write: latents")
      .require("conditioning")
      .require("output")
      .everyday({"model", "conditioning", "latents", "output", "frames", "width", "height", "steps", "seed",
                 "preset", "device", "precision", "preview", "resume", "overwrite"});
  sampling.declare(parser);
  keep.declare(parser);
  previews.declare(parser);
  provenance.declare(parser);
  own.declare(parser);
  parser.on_transformer().on_ranks();
  if (!parser.parse(arguments)) return;
  keep.check();
  const CommonOptions& common = parser.common_options();
  const auto source = weights.source(common);
  io::require_writable_output("--output", output, {".safetensors"});
  pipeline::require_step_file("--output", output);

  const pipeline::PreviewOptions preview = previews.options(common);
  std::optional<pipeline::VideoCodec> codec;
  if (preview.is_on()) codec.emplace(source);

  const pipeline::Denoiser denoiser(source);
  auto conditioning = pipeline::read_conditioning(conditioning_path);
  pipeline::Denoiser::require_guided_pair(conditioning);
  io::require_known_scheduler(common.model);
  const auto defaults = io::read_generation_defaults(common.model);
  const auto settings = sampling.settings(defaults);
  const std::uint64_t seed = sampling.seed ? settle(*sampling.seed, output, keep.resumes) : std::uint64_t{0};
  std::optional<pipeline::Latents> start;
  if (latents_path) start = pipeline::read_latents(*latents_path);
  const VideoShape video = start ? VideoShape::from_latent(start->shape) : sampling.video(defaults, common);
  const int channels = start ? start->channels : denoiser.config().in_channels;
  denoiser.require_fits(conditioning.llm_width, conditioning.clip_width, settings, channels);
  const plan::Cost cost = plan_run(common, {.shapes = {.transformer = denoiser.config()},
                                            .video = video,
                                            .steps = settings.steps,
                                            .numerics = common.numerics,
                                            .is_whole = false,
                                            .is_guided = settings.cfg_scale != 1});

  io::Json manifest = start_manifest("denoise", common, common.numerics,
                                     weights.components({io::Component::transformer}), provenance);
  weights.put(manifest);
  put_topology(manifest, cost, provenance);
  put_sampling(manifest, video, settings);
  add_source(manifest, "conditioning", conditioning_path, provenance);
  if (latents_path)
    add_source(manifest, "start", *latents_path, provenance);
  else
    manifest["seed"] = seed;

  const auto ranks =
      ranks_of(common, cost, denoiser.config().layers,
               trace::run_facts(video, settings.steps, to_string(common.numerics.precision), cost));
  agree_on(common, {&manifest}, cost.topology);
  if (is_follower()) return pipeline::process_ranks()->follow(denoiser.shared(common.place, common.numerics), ranks);

  int steps_done = 0;
  if (keep.finds_work(output)) {
    auto saved = pipeline::read_step_file(pipeline::step_file_of(output));
    pipeline::require_same_run(manifest, saved.manifest, pipeline::step_file_of(output).string());
    pipeline::put_earlier_devices(manifest, saved.manifest);
    saved.require_size(video.latent(), channels);
    start = std::move(saved.latents);
    steps_done = saved.steps_done;
    if (!provenance.is_reproducible) manifest["resumed_after_step"] = steps_done;
  }
  const bool is_done = steps_done == 0 && !own.overwrites && keep.resumes && is_finished(output, manifest);
  if (!is_done) own.require_own(output, manifest);
  if (!start) start = pipeline::noise_latents(seed, video.latent(), channels, common.numerics);
  io::require_free_space("--output", output, 3 * pipeline::step_file_bytes(*start, conditioning));

  Progress progress = start_progress(common);
  if (is_done) return progress.tell(output.string() + " is there already, made by the same run");
  tell_place(progress, common);
  tell_untrained_size(progress, common.model, video);
  note_choices(progress, {&manifest});
  if (!latents_path && sampling.seed && sampling.seed->is_random()) tell_drawn_seed(progress, seed);
  trace::tell_run(progress, video, settings.steps, to_string(common.numerics.precision), cost);
  if (steps_done < settings.steps) {
    Forecast forecast{fmt::format("{}, {} steps", to_string(video), settings.steps - steps_done)};
    forecast.add(cost, steps_done);
    tell_forecast(progress, common, forecast, keep.is_confirmed);
    place::require_free_memory(common.place, cost.peak_bytes());
    pipeline::StepObserver observer;
    if (codec)
      observer = preview_observer(preview, *codec,
                                  {common.place, pipeline::without_fp8(common.numerics.precision)}, progress);
    observer = keep.stopping(observer, steps_done, settings.steps);
    const auto transformer = denoiser.load(common.place, common.numerics, progress, ranks);
    pipeline::StepKeeper keeper(pipeline::step_file_of(output), manifest, conditioning, keep.every,
                                steps_done);
    keep.run(progress, output, [&] {
      pipeline::denoise_and_keep(*transformer, {conditioning, settings, *start, steps_done}, keeper, observer,
                                 progress);
    });
  }
  add_stages(manifest, progress, provenance);
  pipeline::write_latents(output, *start, as_metadata(manifest));
  std::error_code unused;  // the output is there: what is left of the work is in nobody's way
  fs::remove(pipeline::step_file_of(output), unused);
  progress.print_summary();
}

}  // namespace

void denoise(const Arguments& arguments) {
  pipeline::on_processes([&] { denoise_on_this_process(arguments); });
}

}  // namespace stepvideo::commands
