// A SentencePiece model, and prompts through it.
#include "target.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto tokenizer = text::open_sentencepiece_tokenizer(as_file(file));
  for (const std::string_view prompt :
       {"", "a red circle", "\u4e00\u4e2a\u7ea2\u8272\u7684\u5706 \ufb01\u00bd\u2460"})
    (void)tokenizer->sequence(prompt);
}

}  // namespace stepvideo::fuzz
