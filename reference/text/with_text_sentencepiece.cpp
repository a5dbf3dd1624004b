#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <stepvideo/core/error.hpp>

#include "text/tokenizer.hpp"

namespace stepvideo::text {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::filesystem::path& model) {
    std::error_code unused;
    require(std::filesystem::is_regular_file(model, unused),
            [&] { return model.string() + " is not there; a SentencePiece model was looked for"; });
    const auto status = processor_.Load(model.string());
    require(status.ok(), [&] {
      return fmt::format("{} is no SentencePiece model that can be read ({})", model.string(),
                         status.ToString());
    });
  }

  std::vector<TokenId> encode(std::string_view prompt) const override {
    std::vector<int> ids;
    const auto status = processor_.Encode(prompt, &ids);
    if (!status.ok()) throw Error("SentencePiece cannot encode the prompt: " + status.ToString());
    return ids;
  }

 private:
  /// The release's literal ids, whatever the model calls them; padding is the end token.
  Frame frame() const override { return {.begin = 1, .end = 2, .padding = 2, .length = 320}; }

  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece_tokenizer(const std::filesystem::path& model) {
  return std::make_unique<SentencePieceTokenizer>(model);
}

}  // namespace stepvideo::text
