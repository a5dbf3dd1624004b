// What decides which video a model makes, and how a manifest says it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include <stepvideo/core/shape.hpp>

#include "io/json.hpp"
#include "pipeline/precision.hpp"
#include "progress.hpp"

namespace stepvideo::pipeline {

/// How the flow is integrated and guided; the release's values.
struct SamplerSettings {
  int steps = 50;
  double cfg_scale = 9;
  double time_shift = 13;
};

/// Complete: nothing is left to a default. One request and one model give one video.
struct Request {
  std::string prompt, negative;
  std::string prompt_suffix = {};  ///< of words that every prompt gets
  std::uint64_t seed = 0;
  VideoShape video;
  SamplerSettings settings;
  Numerics numerics;

  /// What the text encoders read.
  std::string whole_prompt() const { return prompt + prompt_suffix; }
};

/// Writes the request's fields into a manifest, named as the flags are, with underscores.
void put_request(io::Json& manifest, const Request& request);

/// Those of its text: the suffix where there is one.
void put_words(io::Json& manifest, const Request& request);

/// Those of its arithmetic.
void put_numerics(io::Json& manifest, const Numerics& numerics);

/// Those of them that size and sample a video.
void put_sampling(io::Json& manifest, VideoShape video, const SamplerSettings& settings);

/// Reads them back. Throws RequestError naming `source` and the field: missing, of another kind, a size off
/// the grid.
Request request_of(const io::Json& manifest, const std::string& source);

/// Puts into a manifest what the stages from the one at `begin` on took.
void add_stages(io::Json& manifest, const Progress& progress, std::size_t begin = 0);

/// The first field that decides what a run gives and in which two manifests differ: the request's, the files
/// that it began from, the content of a component of the model that both name. Empty where none does.
std::string differing_field(const io::Json& one, const io::Json& other);

/// Throws RequestError naming `file` and the first field in which it differs from what is asked for now.
void require_same_run(const io::Json& asked, const io::Json& found, const std::string& file);

/// For a run that goes on with what `found` tells of: where that is another device's work, the manifest names
/// in `begun_on`, in their order, the devices that it was done on before.
void put_earlier_devices(io::Json& manifest, const io::Json& found);

/// "steps 40", "prompt \"a red circle\"", "no seed": a field of a manifest for a message.
std::string describe_field(const io::Json& manifest, const std::string& field);

}  // namespace stepvideo::pipeline
