#include <exception>
#include <new>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <stepvideo/core/error.hpp>

#include "io/mapped_file.hpp"
#include "io/printable.hpp"
#include "text/sentencepiece_model.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::text {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::filesystem::path& model) {
    // The bytes that are checked are those that are loaded.
    const auto file = io::MappedFile::open(model, "a SentencePiece model");
    const std::string bytes(static_cast<const char*>(file.memory.get()), file.size);
    require_sound_normalization(std::as_bytes(std::span(bytes)), model.string());
    const auto refuse = [&](std::string_view why) {
      throw RequestError(fmt::format("{} is no SentencePiece model that can be read ({})", model.string(),
                                     io::printable(why)));
    };
    try {
      if (const auto status = processor_.LoadFromSerializedProto(bytes); !status.ok())
        refuse(status.ToString());
    } catch (const Error&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {  // of its dictionary, which knows no status
      refuse(error.what());
    }
  }

  std::vector<TokenId> encode(std::string_view prompt) const override {
    std::vector<int> ids;
    const auto status = processor_.Encode(prompt, &ids);
    require(status.ok(), [&] {
      return "SentencePiece cannot encode the prompt; its model is damaged (" +
             io::printable(status.ToString()) + ")";
    });
    return ids;
  }

 private:
  /// The release's literal ids, whatever the model calls them; padding is the end token.
  TokenFrame frame() const override { return llm_frame; }

  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece_tokenizer(const std::filesystem::path& model) {
  return std::make_unique<SentencePieceTokenizer>(model);
}

}  // namespace stepvideo::text
