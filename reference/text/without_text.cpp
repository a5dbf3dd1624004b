// The tokenizers of a build without SentencePiece and ICU.
#include <stepvideo/core/error.hpp>

#include "text/tokenizer.hpp"

namespace stepvideo::text {
namespace {

[[noreturn]] void refuse() {
  throw Error(
      "this build has no tokenizers; build with STEPVIDEO_TEXT=ON, or give token ids to encode-tokens or "
      "text "
      "states to denoise --conditioning");
}

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece_tokenizer(const std::filesystem::path&) {
  refuse();
}
std::unique_ptr<Tokenizer> open_wordpiece_tokenizer(const std::filesystem::path&) {
  refuse();
}

}  // namespace stepvideo::text
