#include "commands/choices.hpp"
#include "commands/command.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/prompt_flags.hpp"
#include "commands/provenance.hpp"
#include "commands/session.hpp"
#include "commands/weight_flags.hpp"
#include "io/pending_file.hpp"
#include "pipeline/prompt_encoder.hpp"

namespace stepvideo::commands {

void encode_text(const Arguments& arguments) {
  PromptFlags words;
  std::filesystem::path output;
  ProvenanceFlags provenance;
  OverwriteFlag own;
  WeightFlags weights;
  FlagParser parser("encode-text", "prompts become the transformer's text states");
  weights.declare(parser);
  words.declare(parser);
  parser
      .flag("output", output,
            "safetensors file to write; batch element 0 is the prompt, 1 the negative; LLM states end with "
            "the longer one")
      .require("prompt")
      .require("output");
  provenance.declare(parser);
  own.declare(parser);
  if (!parser.parse(arguments)) return;
  const CommonOptions& common = parser.common_options();
  io::require_writable_output("--output", output, {".safetensors"});

  const pipeline::PromptEncoder encoder(weights.source(common));
  words.complete(io::read_generation_defaults(common.model));
  pipeline::Request request;
  request.prompt = *words.prompt;
  request.prompt_suffix = *words.prompt_suffix;
  request.negative = *words.negative;
  require_weights_fit(common, "Step-LLM", encoder.llm_tensors(), common.numerics.precision);
  io::Json manifest =
      start_manifest("encode-text", common, common.numerics,
                     weights.components({io::Component::step_llm, io::Component::clip_text_encoder,
                                         io::Component::clip_tokenizer}),
                     provenance);
  weights.put(manifest);
  put_prompts(manifest, encoder, request);
  own.require_own(output, manifest);
  Progress progress = start_progress(common);
  note_choices(progress, {&manifest});
  tell_cut_prompts(progress, manifest);
  tell_place(progress, common);
  const auto conditionings = encoder.encode({{request.whole_prompt(), request.negative}}, common.place,
                                            common.numerics.precision, progress);
  add_stages(manifest, progress, provenance);
  pipeline::write_conditioning(output, conditionings.front(), as_metadata(manifest));
  progress.print_summary();
}

}  // namespace stepvideo::commands
