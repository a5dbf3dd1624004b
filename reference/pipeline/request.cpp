#include "pipeline/request.hpp"

#include <array>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::pipeline {
namespace {

using io::Json;

constexpr std::array deciding_fields{
    "prompt",    "prompt_suffix", "negative",  "seed",      "frames",   "height",       "width", "steps",
    "cfg_scale", "time_shift",    "precision", "attention", "numerics", "conditioning", "start", "weights"};

Json member(const Json& object, const std::string& name) {
  return object.is_object() && object.contains(name) ? object.at(name) : Json();
}

}  // namespace

void put_words(Json& manifest, const Request& request) {
  manifest["prompt"] = request.prompt;
  if (!request.prompt_suffix.empty()) manifest["prompt_suffix"] = request.prompt_suffix;
  manifest["negative"] = request.negative;
}

void put_request(Json& manifest, const Request& request) {
  put_words(manifest, request);
  manifest["seed"] = request.seed;
  put_numerics(manifest, request.numerics);
  put_sampling(manifest, request.video, request.settings);
}

void put_numerics(Json& manifest, const Numerics& numerics) {
  manifest["precision"] = to_string(numerics.precision);
  if (numerics.attends_in_fp8) manifest["attention"] = to_string(Precision::fp8);
  if (numerics.rounds_as_release) manifest["numerics"] = release_numerics;
}

void put_sampling(Json& manifest, VideoShape video, const SamplerSettings& settings) {
  manifest["frames"] = video.frames;
  manifest["height"] = video.height;
  manifest["width"] = video.width;
  manifest["steps"] = settings.steps;
  manifest["cfg_scale"] = settings.cfg_scale;
  manifest["time_shift"] = settings.time_shift;
}

Request request_of(const Json& manifest, const std::string& source) {
  const auto field = [&]<class T>(const char* name, T) { return io::field<T>(manifest, source, name); };
  Request request{.prompt = field("prompt", std::string()),
                  .negative = field("negative", std::string()),
                  .prompt_suffix = io::field_or<std::string>(manifest, source, "prompt_suffix", ""),
                  .seed = field("seed", std::uint64_t{}),
                  .video = {field("frames", 0), field("height", 0), field("width", 0)},
                  .settings = {field("steps", 0), field("cfg_scale", 0.0), field("time_shift", 0.0)},
                  .numerics = {}};
  const auto precision = field("precision", std::string());
  const auto known = parse_precision(precision);
  require(known.has_value(), [&] {
    return fmt::format("{}: precision is {}; this version runs fp32, bf16 and fp8", source,
                       io::in_quotes(precision));
  });
  request.numerics = {
      .precision = *known,
      .attends_in_fp8 =
          io::field_or<std::string>(manifest, source, "attention", "") == to_string(Precision::fp8),
      .rounds_as_release = io::field_or<std::string>(manifest, source, "numerics", "") == release_numerics};
  try {
    require_video_on_grid(request.video);
  } catch (const RequestError& error) {
    throw RequestError(source + ": " + error.what());
  }
  return request;
}

void add_stages(Json& manifest, const Progress& progress, std::size_t begin) {
  for (std::size_t i = begin; i < progress.stages().size(); ++i) {
    const StageCost& stage = progress.stages()[i];
    manifest["stages"][stage.name] = {{"seconds", stage.seconds}, {"peak_bytes", stage.peak_bytes}};
  }
}

std::string differing_field(const Json& one, const Json& other) {
  for (const char* name : deciding_fields)
    if (member(one, name) != member(other, name)) return name;
  const Json mine = member(member(one, "model"), "components"),
             theirs = member(member(other, "model"), "components");
  if (mine.is_object())
    for (const auto& [component, digest] : mine.items())
      if (const Json found = member(theirs, component); !found.is_null() && found != digest) return component;
  return "";
}

void put_earlier_devices(Json& manifest, const Json& found) {
  Json earlier = member(found, "begun_on");
  if (!earlier.is_array()) earlier = Json::array();
  const Json last = member(found, "device");
  if (last.is_string() && (earlier.empty() || earlier.back() != last)) earlier.push_back(last);
  if (!earlier.empty() && earlier != Json::array({member(manifest, "device")}))
    manifest["begun_on"] = std::move(earlier);
}

std::string describe_field(const Json& manifest, const std::string& field) {
  Json value = member(manifest, field);
  if (value.is_null()) value = member(member(member(manifest, "model"), "components"), field);
  if (value.is_null()) return "no " + field;
  return field + " " + io::excerpt(value);
}

void require_same_run(const Json& asked, const Json& found, const std::string& file) {
  const std::string field = differing_field(asked, found);
  require(field.empty(), [&] {
    return fmt::format("{} is of a run with {}, and this one has {}; give what it had, or remove it", file,
                       describe_field(found, field), describe_field(asked, field));
  });
}

}  // namespace stepvideo::pipeline
