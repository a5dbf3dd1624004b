#include "commands/generate_flags.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "io/pending_file.hpp"
#include "io/video.hpp"
#include "pipeline/step_file.hpp"

namespace stepvideo::commands {

namespace fs = std::filesystem;

using io::Json, pipeline::Job;

bool GenerateFlags::parse(const Arguments& arguments) {
  FlagParser parser("generate", "a prompt becomes a video, or a file of prompts a folder of videos");
  weights.declare(parser, {"like", "resume"});
  wishes.declare(parser);
  parser
      .flag(
          "prompts", prompts,
          "file with a prompt a line; or a JSON object a line with prompt and its own settings, output among "
          "them; --output is then a folder")
      .flag("like", like, "repeat the run that made this video; flags that are given count")
      .flag("output", output, io::video_output_help)
      .require("prompt", {"prompts", "like", "resume"})
      .require("output")
      .everyday({"model", "prompt", "negative", "prompts", "output", "frames", "width", "height", "steps",
                 "seed", "preset", "device", "precision", "preview", "resume", "like", "overwrite"});
  wishes.sampling.declare(parser);
  video.declare(parser);
  vae.declare(parser);
  keep.declare(parser);
  own.declare(parser);
  previews.declare(parser);
  {
    const auto heading = parser.topic("Keeping work");
    parser.toggle("keep-latents", keeps_latents,
                  "leave the final latents beside the output, as OUTPUT.latents.safetensors");
  }
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
  require(!prompts || !keep.stop_after, [] {
    return "--stop-after and --prompts are given, and a batch goes from part to part; --prompt works";
  });
  require(!prompts || (!wishes.prompt && !like), [&] {
    return fmt::format("--prompts and {} are given; one of them works", like ? "--like" : "--prompt");
  });
  return true;
}

std::optional<fs::path> base_file(const GenerateFlags& flags) {
  std::error_code unused;
  if (flags.like) return flags.like;
  const fs::path steps = pipeline::step_file_of(flags.output);
  if (flags.prompts || !flags.keep.resumes) return {};
  if (fs::exists(steps, unused)) return steps;
  if (!flags.wishes.prompt && fs::exists(flags.output, unused)) return flags.output;
  return {};
}

pipeline::ModelSource model_of(GenerateFlags& flags, const std::optional<Json>& base) {
  if (flags.common.model.empty() && base) {
    flags.weights.take_missing(*base);
    const Json model = base->value("model", Json::object());
    const bool tells_folder = model.is_object() && model.value("path", Json()).is_string();
    require(tells_folder || flags.weights.weights, [] {
      return "--model is missing, and the manifest does not tell where it was; give its folder";
    });
    if (tells_folder) flags.common.model = model["path"].get<std::string>();
  }
  require(!flags.keep.resumes || base || flags.weights.weights || !flags.common.model.empty(), [&] {
    return fmt::format(
        "--resume: neither {} nor {} is there to go on with; --model and --prompt begin the run",
        pipeline::step_file_of(flags.output).string(), flags.output.string());
  });
  return flags.weights.source(flags.common);
}

void compare_models(const GenerateFlags& flags, bool has_model, const Json& mine, const Json& base) {
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

std::vector<Job> read_jobs(const GenerateFlags& flags, const std::optional<pipeline::Request>& base,
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
    const std::string& where = line.where;
    // By a width that does not depend on how many there are: a line more renames none.
    const std::string name = line.output.empty() ? fmt::format("{:03}.mp4", jobs.size() + 1) : line.output;
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

}  // namespace stepvideo::commands
