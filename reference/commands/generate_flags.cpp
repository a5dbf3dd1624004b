#include "commands/generate_flags.hpp"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "io/path_json.hpp"
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
      .flag("count", count,
            "so many videos of one prompt; seeds in a row from --seed on or each random, --output clip.mp4 "
            "makes "
            "clip-001.mp4 and so on [1]")
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
  comparison.declare(parser);
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
  constexpr int most = 10'000;
  require(count >= 1 && count <= most,
          [&] { return fmt::format("--count is {}; 1 to {} works", count, most); });
  require(!prompts || count == 1, [] {
    return "--count and --prompts are given; a batch has the videos that its lines ask for, each with its "
           "seed";
  });
  const char* const several = prompts ? "--prompts" : "--count";
  require(makes_several() || common.replicas == 1, [&] {
    return fmt::format(
        "--replicas {} deals videos, and there is one; --prompts names a file of them, --count makes several",
        common.replicas);
  });
  require(!makes_several() || previews.path.empty(), [&] {
    return fmt::format(
        "--preview-path and {} are given, and the videos would share the files; one of them works", several);
  });
  require(!makes_several() || !keep.stop_after, [&] {
    return fmt::format(
        "--stop-after and {} are given, and a batch goes from part to part; --prompt alone works", several);
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
  if (flags.makes_several() || !flags.keep.resumes) return {};
  if (fs::exists(steps, unused)) return steps;
  if (!flags.wishes.prompt && fs::exists(flags.output, unused)) return flags.output;
  return {};
}

pipeline::ModelSource model_of(GenerateFlags& flags, const std::optional<Json>& base) {
  if (flags.common.model.empty() && base) {
    flags.weights.take_missing(*base);
    const Json model = base->value("model", Json::object());
    const fs::path folder = io::path_in(model, "path");
    require(!folder.empty() || flags.weights.weights, [] {
      return "--model is missing, and the manifest does not tell where it was; give its folder";
    });
    flags.common.model = folder;
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

namespace {

/// clip-001.mp4: by a width that does not depend on how many there are.
fs::path numbered(const fs::path& output, int number) {
  const std::string ending = fmt::format("-{:03}", number);
  if (io::video_kind(output) == io::VideoKind::png_folder)
    return (output.has_filename() ? output : output.parent_path()).string() + ending + "/";
  return output.parent_path() / (output.stem().string() + ending + output.extension().string());
}

/// The wishes with a seed that is a number: of several videos of one prompt the one `index` behind the first.
Wishes with_seed(Wishes wishes, const std::optional<pipeline::Request>& base, const fs::path& output,
                 int index, GenerateFlags& flags) {
  auto& seed = wishes.sampling.seed;
  flags.drawn.push_back(seed && seed->is_random());
  if (flags.drawn.back()) seed = SeedWish{settle(*seed, output, flags.keep.resumes)};
  if (flags.drawn.back() || index == 0) return wishes;
  const std::uint64_t first = seed ? *seed->number : base ? base->seed : 0;
  require(first <= std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(index), [&] {
    return fmt::format("--seed {} has no {} seeds from it on; a smaller one works", first, flags.count);
  });
  seed = SeedWish{first + static_cast<std::uint64_t>(index)};
  return wishes;
}

}  // namespace

std::vector<Job> read_jobs(GenerateFlags& flags, const std::optional<pipeline::Request>& base,
                           std::vector<std::string>& names) {
  std::vector<Job> jobs;
  if (!flags.prompts) {
    for (int index = 0; index < flags.count; ++index) {
      const fs::path output = flags.count == 1 ? flags.output : numbered(flags.output, index + 1);
      io::require_video_output("--output", output);
      pipeline::require_step_file("--output", output, flags.keeps_latents);
      const Wishes wishes = with_seed(flags.wishes, base, output, index, flags);
      jobs.push_back({.request = complete(wishes, base, flags.common.model, flags.common), .output = output});
      names.push_back(flags.count == 1 ? "--output" : output.string());
    }
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
      pipeline::require_step_file("--output", folder / name, flags.keeps_latents);
      const fs::path output = flags.output / name;
      const Wishes wishes = with_seed(line.wishes.over(flags.wishes), {}, output, 0, flags);
      jobs.push_back({.request = complete(wishes, {}, flags.common.model, flags.common), .output = output});
    } catch (const RequestError& error) {
      throw RequestError(where + ": " + error.what());
    }
    names.push_back(where);
  }
  return jobs;
}

}  // namespace stepvideo::commands
