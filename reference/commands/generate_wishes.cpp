#include "commands/generate_wishes.hpp"

#include <tuple>

#include "io/manifest.hpp"

namespace stepvideo::commands {
namespace {

/// What the checkpoint says, or what an earlier run had.
io::GenerationDefaults defaults_of(const std::optional<pipeline::Request>& base,
                                   const std::filesystem::path& model) {
  if (!base) return io::read_generation_defaults(model);
  const auto& [video, settings] = std::tie(base->video, base->settings);
  return {video.frames,       video.height,        video.width,         settings.steps,
          settings.cfg_scale, settings.time_shift, base->prompt_suffix, base->negative};
}

}  // namespace

Wishes Wishes::over(const Wishes& others) const {
  Wishes both = *this;
  const auto fill = [](auto& mine, const auto& theirs) {
    if (!mine) mine = theirs;
  };
  fill(both.prompt, others.prompt);
  fill(both.prompt_suffix, others.prompt_suffix);
  fill(both.negative, others.negative);
  fill(both.sampling.frames, others.sampling.frames);
  fill(both.sampling.height, others.sampling.height);
  fill(both.sampling.width, others.sampling.width);
  fill(both.sampling.steps, others.sampling.steps);
  fill(both.sampling.cfg_scale, others.sampling.cfg_scale);
  fill(both.sampling.time_shift, others.sampling.time_shift);
  fill(both.sampling.preset, others.sampling.preset);
  fill(both.sampling.seed, others.sampling.seed);
  both.sampling.takes_nearest_size |= others.sampling.takes_nearest_size;
  return both;
}

pipeline::Request complete(const Wishes& wishes, const std::optional<pipeline::Request>& base,
                           const std::filesystem::path& model, const CommonOptions& common) {
  require(wishes.prompt || base, [] { return "--prompt is missing; generate needs it"; });
  const auto defaults = defaults_of(base, model);
  pipeline::Request request = base.value_or(pipeline::Request{});
  PromptFlags words = wishes;
  words.complete(defaults);
  if (words.prompt) request.prompt = *words.prompt;
  request.prompt_suffix = *words.prompt_suffix;
  request.negative = *words.negative;
  if (wishes.sampling.seed) request.seed = wishes.sampling.seed->number.value();
  if (!base || common.has_precision) request.numerics.precision = common.numerics.precision;
  if (!base || common.has_attention) request.numerics.attends_in_fp8 = common.numerics.attends_in_fp8;
  if (!base || common.has_numerics) request.numerics.rounds_as_release = common.numerics.rounds_as_release;
  pipeline::require_served(request.numerics, common.place, common.ranks);
  request.video = wishes.sampling.video(defaults, common);
  request.settings = wishes.sampling.settings(defaults);
  return request;
}

io::Json generate_manifest_of(const std::filesystem::path& file, const std::string& flag) {
  const auto manifest = io::read_manifest(file);
  require(manifest.has_value(), [&] {
    return flag + ": " + file.string() + " carries no manifest; a video that this program generated does";
  });
  const auto is_generate = [](const io::Json& candidate) {
    return candidate.is_object() && candidate.value("command", io::Json()) == "generate";
  };
  if (is_generate(*manifest)) return *manifest;
  const io::Json sources = manifest->value("sources", io::Json::object());
  if (sources.is_object())
    for (const auto& [name, source] : sources.items()) {
      if (!is_generate(source)) continue;
      require(source.value("step", io::Json()) == source.value("steps", io::Json()), [&] {
        return flag + ": " + file.string() + " shows a run that had not ended; a whole video works";
      });
      return source;
    }
  throw RequestError(flag + ": " + file.string() + " was not made by generate; one of its videos works");
}

}  // namespace stepvideo::commands
