#include <algorithm>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/provenance.hpp"
#include "commands/session.hpp"
#include "commands/weight_flags.hpp"
#include "io/pending_file.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/denoiser.hpp"

namespace stepvideo::commands {
namespace {

constexpr auto latents_name = "hidden_states", times_name = "timestep";

/// The inputs of one forward pass.
struct Inputs {
  pipeline::Conditioning text;
  Buffer<float> latents, times;
  io::Shape shape;  ///< (batch, frames, channels, height, width)

  LatentsView<float> view(const Buffer<float>& values) const {
    return {values.data(),
            shape[0],
            shape[2],
            {static_cast<int>(shape[1]), static_cast<int>(shape[3]), static_cast<int>(shape[4])}};
  }
};

Inputs read_inputs(const std::filesystem::path& path, int channels) {
  const auto file = io::Checkpoint::open(path);
  const io::Shape shape = file.at(latents_name).shape;
  const auto fits = [](std::int64_t extent) { return extent > 0 && extent <= VideoShape::largest_extent; };
  require(shape.size() == 5 && std::ranges::all_of(shape, fits) && shape[2] == channels, [&] {
    return fmt::format("{} in {} has shape {}; (batch, frames, {}, height, width) is needed", latents_name,
                       path.string(), io::to_string(shape), channels);
  });
  return {pipeline::read_conditioning(path), file.load<float>(latents_name), file.load<float>(times_name),
          shape};
}

}  // namespace

void transformer(const Arguments& arguments) {
  std::filesystem::path input, output;
  ProvenanceFlags provenance;
  OverwriteFlag own;
  WeightFlags weights;
  FlagParser parser("transformer", "one forward pass");
  weights.declare(parser)
      .flag("input", input,
            "safetensors file: hidden_states (batch, frames, channels, height, width), timestep (batch), "
            "encoder_hidden_states, encoder_hidden_states_2, encoder_attention_mask")
      .flag("output", output, "safetensors file to write: output, the velocity")
      .require("input")
      .require("output");
  provenance.declare(parser);
  own.declare(parser);
  parser.on_transformer();
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  const auto source = weights.source(common);
  io::require_writable_output("--output", output, {".safetensors"});

  const pipeline::Denoiser denoiser(source);
  const model::TransformerConfig& config = denoiser.config();
  const Inputs in = read_inputs(input, config.in_channels);
  require_weights_fit(common, "the transformer", model::expected_tensors(config), common.numerics.precision);
  const Buffer<float> velocity(in.latents.size() / in.shape[2] * config.out_channels);
  io::Shape velocity_shape = in.shape;
  velocity_shape[2] = config.out_channels;

  io::Json manifest = start_manifest("transformer", common, common.numerics,
                                     weights.components({io::Component::transformer}), provenance);
  weights.put(manifest);
  add_source(manifest, "input", input, provenance);
  own.require_own(output, manifest);
  Progress progress = start_progress(common);
  tell_place(progress, common);
  const auto network = denoiser.load(common.place, common.numerics, progress);
  progress.stage("forward", 0, [&](Stage&) {
    auto out = in.view(velocity);
    out.channels = config.out_channels;
    network->forward(in.text, in.view(in.latents), in.times.vector(), out);
  });
  add_stages(manifest, progress, provenance);
  io::write_safetensors(output, {io::named_tensor("output", velocity_shape, velocity)},
                        as_metadata(manifest));
  progress.print_summary();
}

}  // namespace stepvideo::commands
