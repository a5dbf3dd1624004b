// A BERT vocabulary, and prompts through it.
#include "target.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto tokenizer = text::open_wordpiece_tokenizer(as_file(file));
  for (const std::string_view prompt :
       {"", "a red circle [MASK]", "\u4e00\u4e2a\u7ea2\u8272\u7684\u5706 caf\u00e9!"})
    (void)tokenizer->sequence(prompt);
}

}  // namespace stepvideo::fuzz
