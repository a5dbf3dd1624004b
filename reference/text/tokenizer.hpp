// From a prompt to token ids.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stepvideo::text {

using TokenId = std::int32_t;

/// What a text encoder takes: `ids` padded to the encoder's length, `mask` 1 at the real tokens, 0 at
/// padding.
struct TokenSequence {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> mask;
};

/// Ids that frame a prompt.
struct TokenFrame {
  TokenId begin = 0, end = 0, padding = 0;
  std::size_t length = 0;  ///< of the release
};
/// The release's: Step-LLM's, and that of CLIP's BERT vocabulary.
inline constexpr TokenFrame llm_frame{.begin = 1, .end = 2, .padding = 2, .length = 320};
inline constexpr TokenFrame clip_frame{.begin = 101, .end = 102, .padding = 0, .length = 77};

/// A prompt that is longer than its encoder reads.
struct CutPrompt {
  std::size_t tokens = 0, read = 0;
  std::string first_lost;  ///< the first word that is not read whole
};

/// One vocabulary and its algorithm. Immutable: one object may serve several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The ids of the text alone: nothing added, nothing cut. `prompt` must be valid UTF-8.
  virtual std::vector<TokenId> encode(std::string_view prompt) const = 0;

  /// begin + as many ids of the prompt as fit + end, then padding up to `length` (at least 2; 0: the
  /// release's length). An empty prompt gives begin and end. Throws RequestError naming `flag` when the
  /// prompt is not valid UTF-8.
  TokenSequence sequence(std::string_view prompt, const std::string& flag = "--prompt",
                         std::size_t length = 0) const;

  /// What sequence() leaves out of a prompt, valid UTF-8; nothing where all of it fits.
  std::optional<CutPrompt> cut(std::string_view prompt, std::size_t length = 0) const;

 protected:
  virtual TokenFrame frame() const = 0;
};

/// Step-LLM's SentencePiece model, `step1_chat_tokenizer.model`: [1] + ids[:318] + [2], padded with 2 to 320.
/// Throws RequestError naming the file; Error in a build without tokenizers.
std::unique_ptr<Tokenizer> open_sentencepiece_tokenizer(const std::filesystem::path& model);

/// The CLIP encoder's BERT vocabulary, `vocab.txt`, one token a line: [CLS] + ids[:75] + [SEP], padded with
/// [PAD] to 77. Lower-cases and strips accents; follows the published behaviour of Hugging Face's
/// BertTokenizer. Throws RequestError naming the file; Error in a build without tokenizers.
std::unique_ptr<Tokenizer> open_wordpiece_tokenizer(const std::filesystem::path& vocabulary);

/// For a model of random weights, which knows no words: each byte of a prompt is a token, 256 + its value.
std::unique_ptr<Tokenizer> make_byte_tokenizer(const TokenFrame& frame);

/// Throws RequestError naming `flag` and the first byte that breaks UTF-8 (Unicode 15, table 3-7).
void require_valid_utf8(std::string_view text, const std::string& flag);

}  // namespace stepvideo::text
