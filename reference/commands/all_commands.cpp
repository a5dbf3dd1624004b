#include "commands/command.hpp"

namespace stepvideo::commands {

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands = {
      {"generate", "a prompt becomes a video", generate},
      {"encode-text", "prompts become the transformer's text states", encode_text},
      {"encode-tokens", "token ids become one text encoder's states", encode_tokens},
      {"transformer", "one forward pass", transformer},
      {"denoise", "noise becomes latents, for given text states", denoise},
      {"decode", "latents become a video", decode},
      {"encode", "a video becomes latents", encode},
      {"inspect", "what made a file, which tensors it holds", inspect},
      {"convert", "weights to safetensors: merge, split, cast, rename", convert},
      {"ramp", "a request at rising sizes: what it will cost, before it is run", ramp},
      {"explain", "what a run did, from its event logs", explain},
      {"report", "what a run did, as a page with its video", report},
      {"plan", "which topology fits, what it costs, how long it takes", plan},
      {"doctor", "says whether this machine will run, and what to fix", doctor},
      {"bench", "measures the kernels on this machine", bench},
      {"completion", "completes commands and flags in bash", completion},
  };
  return commands;
}

}  // namespace stepvideo::commands
