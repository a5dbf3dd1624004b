// The flags that say in words what a video shows; where they are silent the checkpoint's own defaults hold.
#pragma once
#include <optional>
#include <string>

#include "commands/options.hpp"
#include "io/model_folder.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::commands {

struct PromptFlags {
  std::optional<std::string> prompt, prompt_suffix, negative;

  void declare(FlagParser& parser) {
    parser
        .flag("prompt", prompt,
              "what the video shows; English or Chinese, empty for no guidance towards anything")
        .flag("prompt-suffix", prompt_suffix,
              "appended to the prompt as it is, for words that every prompt gets; \"\" for none [the "
              "checkpoint's default]")
        .flag("negative", negative, "what it should not show; \"\" for nothing [the checkpoint's default]");
  }

  /// What the flags leave open. Throws RequestError naming the flag whose text is not UTF-8.
  void complete(const io::GenerationDefaults& defaults) {
    if (!prompt_suffix) prompt_suffix = defaults.prompt_suffix;
    if (!negative) negative = defaults.negative;
    text::require_valid_utf8(prompt.value_or(""), "--prompt");
    text::require_valid_utf8(*prompt_suffix, "--prompt-suffix");
    text::require_valid_utf8(*negative, "--negative");
  }
};

}  // namespace stepvideo::commands
