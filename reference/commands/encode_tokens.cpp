#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/provenance.hpp"
#include "commands/session.hpp"
#include "commands/weight_flags.hpp"
#include "io/pending_file.hpp"
#include "pipeline/conditioning.hpp"
#include "pipeline/text_model.hpp"

namespace stepvideo::commands {
namespace {

constexpr auto ids_name = "input_ids", mask_name = "attention_mask";

/// Token ids (batch, tokens), and how many of each row are real.
struct Tokens {
  Buffer<std::int32_t> ids;
  io::Shape shape;
  std::vector<index_t> lengths;

  MatrixView<const std::int32_t> view() const { return ids.matrix(shape[0], shape[1]); }
};

Tokens read_tokens(const std::filesystem::path& path) {
  const auto file = io::Checkpoint::open(path);
  Tokens tokens{file.load_integers(ids_name), file.at(ids_name).shape, {}};
  require(tokens.shape.size() == 2 && tokens.ids.size() > 0, [&] {
    return fmt::format("{} in {} has shape {}; (batch, tokens) is needed", ids_name, path.string(),
                       io::to_string(tokens.shape));
  });
  tokens.lengths.assign(static_cast<std::size_t>(tokens.shape[0]), tokens.shape[1]);
  if (!file.contains(mask_name)) return tokens;

  require(file.at(mask_name).shape == tokens.shape, [&] {
    return fmt::format("{} in {} has shape {}; that of {}, {}, is needed", mask_name, path.string(),
                       io::to_string(file.at(mask_name).shape), ids_name, io::to_string(tokens.shape));
  });
  tokens.lengths = pipeline::read_prefix_lengths(file, mask_name);
  return tokens;
}

}  // namespace

void encode_tokens(const Arguments& arguments) {
  std::string encoder;
  std::filesystem::path input, output;
  ProvenanceFlags provenance;
  OverwriteFlag own;
  WeightFlags weights;
  FlagParser parser("encode-tokens", "token ids become one text encoder's states");
  weights.declare(parser)
      .choice("encoder", encoder, {"step-llm", "clip"}, "step-llm or clip")
      .flag("input", input, "safetensors file: input_ids (batch, tokens), and for clip attention_mask")
      .flag("output", output, "safetensors file to write: output (batch, tokens, width)")
      .require("encoder")
      .require("input")
      .require("output");
  provenance.declare(parser);
  own.declare(parser);
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  io::require_writable_output("--output", output, {".safetensors"});

  const bool is_clip = encoder == "clip";
  const auto component = is_clip ? io::Component::clip_text_encoder : io::Component::step_llm;
  const auto source = weights.source(common);
  const Tokens tokens = read_tokens(input);
  io::Json manifest =
      start_manifest("encode-tokens", common, common.numerics, weights.components({component}), provenance);
  weights.put(manifest);
  add_source(manifest, "input", input, provenance);
  own.require_own(output, manifest);
  Progress progress = start_progress(common);
  tell_place(progress, common);

  const auto model = progress.stage("load " + encoder, 0, [&](Stage& stage) {
    const auto load = [&](const auto& config, bool allows_extra, auto& load_model) {
      require_weights_fit(common, encoder, model::expected_tensors(config), common.numerics.precision);
      const auto opened =
          pipeline::Weights::open(source, component, model::expected_tensors(config), allows_extra);
      return load_model(common.place, common.numerics.precision, config, opened, stage);
    };
    if (is_clip)  // the pooler may be there; nothing reads it
      return load(source.config(component, model::read_clip_text_config), true, pipeline::load_clip);
    return load(source.config(component, model::read_step_llm_config), false, pipeline::load_step_llm);
  });
  const index_t width = model->width();
  const Buffer<float> states(tokens.ids.size() * width);
  progress.stage("encode", 0, [&](Stage&) {
    model->encode(tokens.view(), tokens.lengths,
                  TokensView<float>::dense(states.data(), tokens.shape[0], tokens.shape[1], width));
  });
  add_stages(manifest, progress, provenance);
  io::write_safetensors(output,
                        {io::named_tensor("output", {tokens.shape[0], tokens.shape[1], width}, states)},
                        as_metadata(manifest));
  progress.print_summary();
}

}  // namespace stepvideo::commands
