// A file of prompts, as generate takes it.
#include "commands/generate_wishes.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  for (const commands::PromptLine& line : commands::read_prompts(as_file(file)))
    if (!line.wishes.prompt || line.number < 1 || line.output.find('/') != std::string::npos)
      throw std::logic_error("a line that was accepted has no prompt, no number or a path");
}

}  // namespace stepvideo::fuzz
